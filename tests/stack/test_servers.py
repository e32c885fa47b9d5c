"""The fixtures start the real servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stack.servers.process import Server, ServerError, until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.redis import Redis


def test_prometheus_scrapes_the_target_it_is_given(prometheus: Callable[..., Prometheus]) -> None:
    """A Prometheus with a job that names a listening port reports that job as up."""
    first = prometheus([])
    second = prometheus([scrape_job("first", f"127.0.0.1:{first.port}")], name="second")
    assert until("the target to be up", lambda: second.health("first") == "up")


def test_redis_is_ready_when_the_fixture_returns(redis_server: Redis) -> None:
    """A Redis client gets back what it stored."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.set("key", "value")
        assert client.get("key") == b"value"


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    """Starting a program that exits raises an error with its output, without waiting for the timeout."""
    server = Server("short", ["sh", "-c", "echo out of luck; exit 3"], folder=tmp_path, ready=lambda: False)
    with pytest.raises(ServerError, match="out of luck"):
        server.start()
