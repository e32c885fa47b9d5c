"""``make malformed``: 100,000 malformed requests over sockets; no 5xx, no new series, no memory growth."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from time import monotonic

import httpx

from stack.load import traffic
from stack.load.malformed import flood
from stack.load.soak import FULL, trend
from stack.servers.service import Service

SETTINGS = {
    "AGENTOS_RATE_LIMIT": "off",
    "AGENTOS_CLIENT_RATE_LIMIT": "off",
    "AGENTOS_CACHE_SIZE": "30",  # full before the first round
    "AGENTOS_PROVIDERS": '{"quick": {"latency": 0.001}}',
}
ROUNDS = 10
QUIET_SECONDS = 6.0
"""Pause before memory is read: uvicorn drops an idle connection after 5 s."""
ALLOWED_BLOCKS = 0.1
"""Interpreter blocks that a request may leave behind, by the trend: a leak of one object per request is ten times that."""


def main() -> int:
    """Prints the answers by status; returns 1 after a 5xx, a traceback, a new series or a leak."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.malformed", description=__doc__)
    arguments.add_argument("--requests", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="malformed-") as folder,
        Service(Path(folder), SETTINGS, app="stack.instrumented_app:app") as service,
    ):
        print(f"  {FULL:,} good calls first, until the service keeps all that it keeps on purpose ...", flush=True)
        traffic.make(service.url, traffic.mixed(FULL))
        warm_up(service)
        before, readings = series(service), [service.alive()]
        statuses: Counter[int] = Counter()
        each = given.requests // ROUNDS
        for number in range(ROUNDS):
            statuses += flood(service.port, each, given.seed + number, Progress(number * each, given.requests))
            threading.Event().wait(QUIET_SECONDS)
            readings.append(service.alive())
        return _report(statuses, series(service) ^ before, readings, each, tracebacks(service))


def warm_up(service: Service) -> None:
    """Makes every series that good and bad requests have."""
    for agent in ("navi", "herald"):
        service.run(agent, "hello")
    httpx.post(f"{service.url}/metrics")
    flood(service.port, 200, 0)


def series(service: Service) -> set[str]:
    """Returns every sample's name and labels."""
    return {line.rpartition(" ")[0] for line in service.metrics().splitlines() if not line.startswith("#")}


def tracebacks(service: Service) -> int:
    """Returns how many tracebacks are in the service's log."""
    return service.log.read_text(errors="replace").count("Traceback (most recent call last)")


class Progress:
    """Shows the progress: one changing line in a terminal, a line every 5 s elsewhere."""

    def __init__(self, before: int, of: int) -> None:
        self._before, self._of, self._said = before, of, monotonic()

    def __call__(self, done: int) -> None:
        live = sys.stdout.isatty()
        if live or monotonic() - self._said >= 5:
            self._said = monotonic()
            print(f"  {self._before + done:>8,} of {self._of:,} ...", end="\r" if live else "\n", flush=True)


def _report(statuses: Counter[int], new: set[str], readings: list[dict[str, int]], each: int, broken: int) -> int:
    answered = ", ".join(f"{status or 'none'}: {count:,}" for status, count in sorted(statuses.items()))
    ours = sum(count for status, count in statuses.items() if status >= 500)
    settled = readings[1:]  # the first flood makes some things once, too
    blocks = trend([reading["blocks"] for reading in settled])[0] / (each * (len(settled) - 1))
    resident = [f"{reading['resident'] / 2**20:.1f}" for reading in readings]
    print(f"\nanswers by status: {answered}")
    print(f"5xx: {ours}   tracebacks in the log: {broken}   new series: {len(new)} {sorted(new)[:3] if new else ''}")
    print(f"resident MiB, round by round: {', '.join(resident)}")
    print(f"interpreter's blocks, round by round: {', '.join(str(reading['blocks']) for reading in readings)}")
    print(f"blocks a request left behind, by the trend after the first round: {blocks:.3f} (allowed: {ALLOWED_BLOCKS})")
    return int(bool(ours or broken or new or blocks > ALLOWED_BLOCKS))


if __name__ == "__main__":
    raise SystemExit(main())
