"""What a Redis that stops or hangs adds to a request: ``python -m benchmarks.redis_outage``."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from stack.redis import Redis
from stack.service import Service

REQUESTS = 200
GOAL_MS = 50


def main() -> None:
    """Prints the table, one row a state of Redis."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed: sudo apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder, Redis(Path(program), Path(folder) / "redis") as redis:
        environment = {"AGENTOS_REDIS_URL": redis.url, "AGENTOS_RATE_LIMIT": "off", "AGENTOS_CLIENT_RATE_LIMIT": "9999/hour"}
        with Service(Path(folder) / "service", environment) as service:
            rows = {"there": milliseconds(service, "there")}
            os.kill(redis.pid, signal.SIGSTOP)
            rows["hung (SIGSTOP)"] = milliseconds(service, "hung")
            os.kill(redis.pid, signal.SIGCONT)
            redis.stop(signal.SIGKILL)
            rows["killed"] = milliseconds(service, "killed")
    usual = statistics.median(rows["there"])
    print(f"{'Redis':<16}{'median ms':>10}{'p99 ms':>10}{'added at most ms':>18}   (goal: {GOAL_MS})")
    for name, taken in rows.items():
        p99 = statistics.quantiles(taken, n=100)[98]
        print(f"{name:<16}{statistics.median(taken):>10.1f}{p99:>10.1f}{max(taken) - usual:>18.1f}")


def milliseconds(service: Service, label: str) -> list[float]:
    """The times of requests that each ask limiter and cache: a get and a set."""
    taken = []
    with httpx.Client(base_url=service.url, timeout=30) as client:
        for number in range(REQUESTS):
            begun = time.perf_counter()
            client.post("/agents/navi/runs", json={"input": f"{label} {number}"}).raise_for_status()
            taken.append((time.perf_counter() - begun) * 1000)
    return taken


if __name__ == "__main__":
    main()
