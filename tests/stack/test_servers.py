"""The fixtures start the real servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stack.servers.process import Server, ServerError, free_port, until
from stack.servers.prometheus import Prometheus, PrometheusAgent, scrape_job
from stack.servers.redis import Redis
from tests.helpers.required_servers import built_server


def test_prometheus_scrapes_the_target_it_is_given(prometheus: Callable[..., Prometheus]) -> None:
    """A Prometheus with a job that names a listening port reports that job as up."""
    first = prometheus([])
    second = prometheus([scrape_job("first", f"127.0.0.1:{first.port}")], name="second")
    assert until("the target to be up", lambda: second.health("first") == "up")


def test_an_agent_writes_what_it_scrapes(
    prometheus: Callable[..., Prometheus], started: Callable[[PrometheusAgent], PrometheusAgent], tmp_path: Path
) -> None:
    """The store has the agent's scrapes, and the agent counts as delivered all samples that it has appended."""
    store = prometheus([], flags=["--web.enable-remote-write-receiver"])
    job, remotes = scrape_job("remote", f"127.0.0.1:{store.port}"), {"store": f"{store.api}/write"}
    agent = started(PrometheusAgent(built_server("prometheus"), tmp_path / "agent", [job], remotes))
    until("a scrape in the store", lambda: store.value('up{job="remote"}') == 1)
    assert agent.targets == 1
    assert agent.remote("samples_failed_total", "store") == 0
    assert 0 < agent.delivered("store") <= agent.appended


def test_a_store_that_is_away_leaves_its_samples_in_the_agent(
    started: Callable[[PrometheusAgent], PrometheusAgent], tmp_path: Path
) -> None:
    """Samples for a store that refuses connections are retried, and none counts as delivered or failed."""
    job, remotes = scrape_job("none", f"127.0.0.1:{free_port()}"), {"store": f"http://127.0.0.1:{free_port()}/write"}
    agent = started(PrometheusAgent(built_server("prometheus"), tmp_path / "agent", [job], remotes))
    until("a second attempt", lambda: agent.remote("samples_retried_total", "store") > 0)
    assert agent.appended > 0
    assert agent.remote("samples_failed_total", "store") == 0


def test_processor_time_of_a_server_grows(started: Callable[[Server], Server], tmp_path: Path) -> None:
    """A process that computes has used processor time soon."""
    busy = started(Server("busy", ["sh", "-c", "while :; do :; done"], folder=tmp_path, ready=lambda: True))
    assert until("processor time", busy.cpu_seconds) > 0


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
