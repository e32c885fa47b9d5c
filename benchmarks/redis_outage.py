"""``make bench-redis``: the time that a slow, hung, stopped or killed Redis adds to a request."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Timer
from time import monotonic, perf_counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from stack.servers.process import until
from stack.servers.redis import Redis
from stack.servers.service import Service
from stack.servers.slow_proxy import SlowProxy, slow_proxy

REQUESTS = 300
GOAL_MS = 50
SETTINGS = {
    "AGENTOS_RATE_LIMIT": "off",
    "AGENTOS_CLIENT_RATE_LIMIT": "9999999/hour",
    "AGENTOS_PROVIDERS": '{"steady": {"latency": 0.01}}',
}


def main() -> int:
    """Prints a row per state of Redis; returns 1 if a state adds more than the goal to the median or the 99th percentile."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed: sudo apt-get install redis-server")
    with (
        tempfile.TemporaryDirectory(prefix="bench-redis-") as folder,
        Redis(Path(program), Path(folder) / "redis") as redis,
        slow_proxy(redis.port) as proxy,
        Service(
            Path(folder), {**SETTINGS, "AGENTOS_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}, name="service"
        ) as service,
    ):
        rows = {"there": milliseconds(service, "warm") and milliseconds(service, "there")}
        rows["there again"] = milliseconds(service, "again")
        for name, away in STATES.items():
            print(f"  {name} ...", file=sys.stderr, flush=True)
            rows[name] = measured(service, redis, proxy, name, away)
        return show(rows)


def measured(service: Service, redis: Redis, proxy: SlowProxy, name: str, away: State) -> list[float]:
    """Returns the times with Redis in a state, once limits hold again after it."""
    before = decisions(service)
    with away(redis, proxy):
        taken = milliseconds(service, name)
    counted = decisions(service)
    errors, all_of_them = counted["error"] - before["error"], sum(counted.values()) - sum(before.values())
    back = monotonic()
    until("limits to hold again", lambda: holds(service))
    print(
        f"{name}: {all_of_them} decisions for {REQUESTS} requests, {errors} of them error; "
        f"limits held again after {monotonic() - back:.1f} s"
    )
    return taken


def holds(service: Service) -> bool:
    """Returns whether Redis takes part in the next decision."""
    before = decisions(service)["error"]
    service.run("navi", "after")
    return decisions(service)["error"] == before


def decisions(service: Service) -> Counter[str]:
    """Returns the limiter's decisions by result."""
    families = text_string_to_metric_families(service.metrics())
    samples = [one for family in families for one in family.samples if one.name == "rate_limit_hits_total"]
    found: Counter[str] = Counter()
    for one in samples:
        found[one.labels["result"]] += int(one.value)
    return found


def milliseconds(service: Service, label: str, *, at_once: int = 2) -> list[float]:
    """Returns the milliseconds of requests that each use limiter and cache: a get and a set."""
    with httpx.Client(base_url=service.url, timeout=30) as client, ThreadPoolExecutor(at_once) as callers:

        def one(number: int) -> float:
            begun = perf_counter()
            client.post("/agents/navi/runs", json={"input": f"{label} {number}"}).raise_for_status()
            return (perf_counter() - begun) * 1000

        return list(callers.map(one, range(REQUESTS)))


State = Callable[[Redis, SlowProxy], AbstractContextManager[None]]


@contextmanager
def slow(_: Redis, proxy: SlowProxy) -> Iterator[None]:
    """Each answer comes 100 ms late."""
    proxy.delay = 0.1
    yield
    proxy.delay = 0.0


@contextmanager
def hung(redis: Redis, _: SlowProxy) -> Iterator[None]:
    """Redis accepts connections and answers nothing."""
    os.kill(redis.pid, signal.SIGSTOP)
    yield
    os.kill(redis.pid, signal.SIGCONT)


@contextmanager
def stopped(redis: Redis, _: SlowProxy) -> Iterator[None]:
    """Redis is shut down."""
    redis.stop()
    yield
    redis.start()


@contextmanager
def killed(redis: Redis, _: SlowProxy) -> Iterator[None]:
    """Redis is killed in the middle of the load."""
    dying = Timer(1.0, redis.kill)
    dying.start()
    yield
    dying.join()
    redis.start()


STATES = {"slow (100 ms)": slow, "hung (SIGSTOP)": hung, "stopped": stopped, "killed under load": killed}


def show(rows: dict[str, list[float]]) -> int:
    """Prints the table: the milliseconds added to the median and the 99th percentile of a working Redis.

    Both percentiles contain the machine's noise; the longest of 300 requests is mostly that noise.
    """
    usual = _percentiles(rows["there"])
    print(f"\n{'Redis':<20}{'median ms':>10}{'p99 ms':>10}{'most ms':>10}{'added: median':>15}{'p99':>8}   (goal: {GOAL_MS})")
    missed = 0
    for name, taken in rows.items():
        middle, high = _percentiles(taken)
        more = (middle - usual[0], high - usual[1])
        print(f"{name:<20}{middle:>10.1f}{high:>10.1f}{max(taken):>10.1f}{more[0]:>15.1f}{more[1]:>8.1f}")
        missed |= max(more) > GOAL_MS
    return missed


def _percentiles(taken: list[float]) -> tuple[float, float]:
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


if __name__ == "__main__":
    raise SystemExit(main())
