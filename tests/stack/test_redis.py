"""Limits and cache in a real Redis: they are shared, and no outage of Redis delays a request."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.middleware.rate_limit import Limiter, Refusal
from agents.services.storage.redis_guard import RedisGuard
from agents.settings import Settings
from stack.servers.process import until
from stack.servers.redis import Redis
from stack.servers.service import Service
from stack.servers.slow_proxy import slow_proxy

RUNS = "/agents/{agent}/runs"
PATIENT = {"AGENTOS_REDIS_TIMEOUT": "1"}  # so that a busy machine does not look like an outage


def counted(service: Service, name: str) -> dict[str, float]:
    """Returns the samples above 0, by their label values in the order of the keys."""
    families = text_string_to_metric_families(service.metrics())
    samples = [one for family in families for one in family.samples if one.name == name and one.value]
    return {"/".join(value for _, value in sorted(one.labels.items())): one.value for one in samples}


def command(server: Redis, *words: str) -> bytes:
    """Sends Redis one inline command and returns the reply."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65536)


def test_two_services_share_their_limits(service: Callable[..., Service], redis_server: Redis) -> None:
    """Of 6 requests to two processes under a limit of 4 a minute 4 are allowed and 2 denied."""
    environment = {**PATIENT, "AGENTOS_REDIS_URL": redis_server.url, "AGENTOS_RATE_LIMIT": "4/minute"}
    one, two = service(environment, name="one"), service(environment, name="two")
    codes = [each.run("navi", "hello", workspace="w").status_code for _ in range(3) for each in (one, two)]
    assert codes == [200, 200, 200, 200, 429, 429]
    assert counted(one, "rate_limit_hits_total") == {f"{RUNS}/allowed/w": 2, f"{RUNS}/denied/w": 1}
    assert counted(two, "rate_limit_hits_total") == {f"{RUNS}/allowed/w": 2, f"{RUNS}/denied/w": 1}


def test_all_limits_hold_in_one_step(redis_server: Redis) -> None:
    """Of 60 requests at once from two limiters exactly 7 pass a smallest limit of 7, and refused ones count nowhere."""
    settings = Settings(redis_url=redis_server.url, redis_timeout=5, rate_limit="7/minute;50/hour", client_rate_limit="off")

    async def decide() -> list[Refusal | None]:
        limiters = [Limiter(settings, RedisGuard(5)) for _ in range(2)]
        decided = await asyncio.gather(*(limiters[number % 2].decide("c", "w", "/route") for number in range(60)))
        for limiter in limiters:
            async with limiter.lifespan():
                pass
        return decided

    assert Counter(asyncio.run(decide())) == {None: 7, Refusal("workspace-60s", 60): 53}
    assert command(redis_server, "GET", "LIMITS:LIMITER/workspace/w//route/50/1/hour") == b"$1\r\n7\r\n"


@pytest.mark.parametrize(
    "repair", ["SET {} nonsense", "SET {} -5", "SET {} 1e3", "LPUSH {} a", "SET {} 3", "SET {} 3 EX 99999"]
)
def test_a_key_of_another_content_is_repaired(redis_server: Redis, repair: str) -> None:
    """A key that holds no count, or does not end with its window, is repaired by the next decision."""
    settings = Settings(redis_url=redis_server.url, redis_timeout=5, rate_limit="9/minute", client_rate_limit="off")
    key = "LIMITS:LIMITER/workspace/w//route/9/1/minute"
    command(redis_server, *repair.format(key).split())

    async def decide() -> Refusal | None:
        limiter = Limiter(settings, RedisGuard(5))
        async with limiter.lifespan():
            return await limiter.decide("c", "w", "/route")

    assert asyncio.run(decide()) is None
    assert command(redis_server, "GET", key).splitlines()[1] == (b"4" if " 3" in repair else b"1")
    assert 59 <= int(command(redis_server, "TTL", key)[1:]) <= 60


def test_two_services_share_their_answers(service: Callable[..., Service], redis_server: Redis) -> None:
    """A second process finds the answer of the first, stored as text behind its version and digest, for the set time."""
    environment = {**PATIENT, "AGENTOS_REDIS_URL": redis_server.url}
    one, two = service(environment, name="one"), service(environment, name="two")
    answer = one.run("navi", "hello").json()["output"]
    assert two.run("navi", "hello").json()["output"] == answer
    assert counted(one, "cache_operations_total") == {"get/miss": 1, "set/ok": 1}
    assert counted(two, "cache_operations_total") == {"get/hit": 1}
    (key,) = [line for line in command(redis_server, "KEYS", "agentos:*").decode().splitlines() if line.startswith("agentos")]
    head, text = command(redis_server, "GET", key).decode().splitlines()[1:3]
    assert (head.split()[0], text) == ("agentos-answer/2", answer)
    assert 0 < int(command(redis_server, "PTTL", key)[1:]) <= 300_000


def keys(server: Redis, pattern: str) -> list[str]:
    return [line for line in command(server, "KEYS", pattern).decode().splitlines() if not line.startswith(("*", "$"))]


@pytest.mark.parametrize(
    "write", ["SET {} hello", "SET {} 42", "LPUSH {} 1", "HSET {} a 1", "SETBIT {} 8000000 1", "APPEND {} x"]
)
def test_a_foreign_value_is_replaced(service: Callable[..., Service], redis_server: Redis, write: str) -> None:
    """A key that another program has overwritten costs one answer from the model, which replaces it."""
    agentos = service({**PATIENT, "AGENTOS_REDIS_URL": redis_server.url})
    answer = agentos.run("navi", "hello").json()["output"]
    (key,) = keys(redis_server, "agentos:*")
    if not write.startswith("APPEND"):
        command(redis_server, "DEL", key)
    command(redis_server, *write.format(key).split())
    assert [agentos.run("navi", "hello").json()["output"] for _ in range(2)] == [answer] * 2
    refused = write.startswith(("LPUSH", "HSET"))
    expected = {"get/error": 1, "get/miss": 1} if refused else {"get/miss": 2}
    assert counted(agentos, "cache_operations_total") == {**expected, "set/ok": 2, "get/hit": 1}


WINDOWS = [
    ("SET {} 1", "2", "an expiry that was lost"),
    ("SET {} 1 PX 99999999999", "2", "one far away"),
    ("SET {} -1000", "1", "a count below 0"),
    ("SET {} 0", "1", "a count of 0"),
]


@pytest.mark.parametrize(("write", "count"), [row[:2] for row in WINDOWS], ids=[row[2] for row in WINDOWS])
def test_a_window_is_repaired(service: Callable[..., Service], redis_server: Redis, write: str, count: str) -> None:
    """A window without an end, or with one too far away, ends a window's length after the next request."""
    environment = {**PATIENT, "AGENTOS_REDIS_URL": redis_server.url, "AGENTOS_CLIENT_RATE_LIMIT": "off"}
    agentos = service(environment)
    agentos.run("navi", "hello", workspace="w")
    (key,) = keys(redis_server, "LIMITS:*")
    command(redis_server, *write.format(key).split())
    agentos.run("navi", "hello", workspace="w")
    assert command(redis_server, "GET", key).decode().splitlines()[1] == count
    assert 0 < int(command(redis_server, "PTTL", key)[1:]) <= 60_000
    assert counted(agentos, "rate_limit_hits_total") == {f"{RUNS}/allowed/w": 2}


@pytest.mark.parametrize("write", ["LPUSH {} 1", "SET {} many", "SET {} 9223372036854775807"])
def test_a_window_of_another_kind_concerns_its_workspace_alone(
    service: Callable[..., Service], redis_server: Redis, write: str
) -> None:
    """A key that holds no count is repaired for its workspace; the others' limits and the cache hold."""
    agentos = service({**PATIENT, "AGENTOS_REDIS_URL": redis_server.url, "AGENTOS_CLIENT_RATE_LIMIT": "off"})
    agentos.run("navi", "hello", workspace="w")
    (key,) = keys(redis_server, "LIMITS:*")
    command(redis_server, "DEL", key)
    command(redis_server, *write.format(key).split())
    codes = [agentos.run("navi", "hello", workspace=name).status_code for name in ("w", "other", "w", "other")]
    assert codes == [200] * 4
    decided = {f"{RUNS}/allowed/w": 3, f"{RUNS}/allowed/other": 2}
    assert counted(agentos, "rate_limit_hits_total") == decided
    assert counted(agentos, "cache_operations_total") == {"get/miss": 2, "set/ok": 2, "get/hit": 3}


@pytest.mark.parametrize("away", ["stopped", "hung"])
def test_an_outage_of_redis_is_counted_and_ends_by_itself(
    service: Callable[..., Service], redis_server: Redis, away: str
) -> None:
    """While Redis is down each request is allowed and counted once as error; when it is back, limits hold again."""
    agentos = service({**PATIENT, "AGENTOS_REDIS_URL": redis_server.url, "AGENTOS_RATE_LIMIT": "1000/minute"})
    agentos.run("navi", "before", workspace="w")
    _away(redis_server, away)
    codes = [agentos.run("navi", f"{number}", workspace="w").status_code for number in range(10)]
    assert codes == [200] * 10
    assert counted(agentos, "rate_limit_hits_total") == {f"{RUNS}/allowed/w": 1, f"{RUNS}/error/w": 10}
    assert counted(agentos, "cache_operations_total") == {"get/miss": 1, "set/ok": 1, "get/error": 10, "set/error": 10}
    _back(redis_server, away)

    def limits_hold_again() -> bool:
        agentos.run("navi", "after", workspace="w")
        return counted(agentos, "rate_limit_hits_total")[f"{RUNS}/allowed/w"] >= 3

    assert until("limits to hold again", limits_hold_again)


def test_slow_redis_is_an_error_for_each_decision(service: Callable[..., Service], redis_server: Redis) -> None:
    """With answers 300 ms late and a timeout of 50 ms each request is allowed and counted once as error; limits hold again
    when Redis is fast again.
    """
    with slow_proxy(redis_server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        agentos = service({"AGENTOS_REDIS_URL": url, "AGENTOS_REDIS_TIMEOUT": "0.05", "AGENTOS_RATE_LIMIT": "1000/minute"})
        proxy.delay = 0.3
        codes = [agentos.run("navi", f"{number}", workspace="w").status_code for number in range(5)]
        assert codes == [200] * 5
        assert counted(agentos, "rate_limit_hits_total") == {f"{RUNS}/error/w": 5}
        proxy.delay = 0.0

        def limits_hold_again() -> bool:
            agentos.run("navi", "after", workspace="w")
            return counted(agentos, "rate_limit_hits_total").get(f"{RUNS}/allowed/w", 0) >= 3

        assert until("limits to hold again", limits_hold_again)


def test_redis_killed_under_load(service: Callable[..., Service], redis_server: Redis) -> None:
    """With Redis killed during 60 requests, all are answered and each has one decision: allowed before, error after."""
    agentos = service({**PATIENT, "AGENTOS_REDIS_URL": redis_server.url, "AGENTOS_RATE_LIMIT": "1000/minute"})
    answered = itertools.count(1)

    def ask(number: int) -> int:
        code = agentos.run("navi", f"{number}", workspace="w").status_code
        if next(answered) == 10:
            redis_server.kill()
        return code

    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(ask, range(60))) == [200] * 60
    decided = counted(agentos, "rate_limit_hits_total")
    assert sum(decided.values()) == 60
    assert decided[f"{RUNS}/allowed/w"] >= 10
    assert decided[f"{RUNS}/error/w"] >= 40


def _away(server: Redis, how: str) -> None:
    if how == "hung":
        os.kill(server.pid, signal.SIGSTOP)
    else:
        server.stop(signal.SIGKILL)


def _back(server: Redis, how: str) -> None:
    if how == "hung":
        os.kill(server.pid, signal.SIGCONT)
    else:
        server.start()
