"""A service under a steady load for a while: does anything of it only ever grow?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

import httpx

from stack.load import traffic
from stack.load.traffic import Steady
from stack.servers.process import until
from stack.servers.service import Service

__all__ = ["COUNTED", "FULL", "SETTINGS", "Soaked", "soak", "trend"]

SETTINGS = {
    "AGENTOS_RATE_LIMIT": "off",
    "AGENTOS_CLIENT_RATE_LIMIT": "off",
    "AGENTOS_CACHE_SIZE": "50",
    "AGENTOS_PROVIDERS": '{"swift": {"latency": 0.002, "failure_rate": 0.1}}',
}
FULL = 2_200
"""Calls after which the agents keep as many of their last tasks as they ever will: 1,000 each."""
COUNTED = ("tasks", "threads", "sockets", "files")
_A_SECOND = 8.0
_NOISE_BLOCKS = 5_000
"""Blocks that come and go with the calls under way; a leak of one object a call comes to as many in ten minutes."""
_NOISE_BYTES = 1 << 20
_CLOCK = threading.Event()  # never set: the time that passes is what is wanted


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of it."""

    readings: list[dict[str, int]]
    """What lived in the process, again and again, under the load."""
    calls: int
    broken: int
    """Calls that got no answer of the service's."""
    scrapes: int
    failed_scrapes: int
    before: dict[str, int]
    after: dict[str, int]
    """The same without load, before and after it."""

    @property
    def left_behind(self) -> dict[str, int]:
        """Tasks, threads, sockets and files that are there after the load and were not before."""
        return {key: more for key in COUNTED if (more := self.after[key] - self.before[key]) > 0}

    def growth(self, key: str) -> tuple[float, float]:
        """By how much it grew over the last two thirds, by their trend, and how far readings stray from that."""
        settled = self.readings[len(self.readings) // 3 :]
        return trend([float(reading[key]) for reading in settled])

    @property
    def grows(self) -> bool:
        """Whether the interpreter's blocks, or the resident memory, rise by more than their noise."""
        return any(
            grown > max(noise, allowed)
            for (grown, noise), allowed in ((self.growth("blocks"), _NOISE_BLOCKS), (self.growth("resident"), _NOISE_BYTES))
        )

    @property
    def blocks_a_call(self) -> float:
        """The interpreter's blocks that a call left behind, from rest to rest."""
        return (self.after["blocks"] - self.before["blocks"]) / max(1, self.calls)


def trend(values: Sequence[float]) -> tuple[float, float]:
    """The rise over all values, and the spread around it.

    The slope is the median of the slopes between all pairs (Theil and Sen): a jump now and then, as an allocator makes, is
    no trend.
    """
    slope = median((values[b] - values[a]) / (b - a) for a, b in combinations(range(len(values)), 2))
    level = median(value - slope * at for at, value in enumerate(values))
    strays = sorted(abs(value - slope * at - level) for at, value in enumerate(values))
    return slope * (len(values) - 1), 2 * strays[int(0.9 * (len(strays) - 1))]


def soak(
    service: Service, seconds: float, readings: int, tell: Callable[[float, dict[str, int]], Any], *, first: int = FULL
) -> Soaked:
    """Loads and scrapes for so long, after ``first`` calls; ``tell`` hears each reading with the seconds passed."""
    _warm_up(service, first)
    before = service.alive()
    load, scrapes = Steady(service.url, _A_SECOND), _Scrapes(service)
    found, begun = [], time.monotonic()
    try:
        for number in range(1, readings + 1):
            _CLOCK.wait(max(0.0, begun + seconds * number / readings - time.monotonic()))
            found.append(service.alive())
            tell(time.monotonic() - begun, found[-1])
    finally:
        outcomes = load.stop()
        scrapes.stop()
    broken = sum(outcome.status == "broken" for outcome in outcomes)
    after = _settled(service, before)
    return Soaked(found, len(outcomes), broken, scrapes.made, scrapes.failed, before, after)


def _warm_up(service: Service, calls: int) -> None:
    """Whatever is made once is made: code, connections, threads, the tasks and answers that are kept."""
    traffic.make(service.url, traffic.mixed(calls), at_once=4)
    with ThreadPoolExecutor(16) as readers:
        list(readers.map(lambda _: service.metrics(), range(32)))
    service.run("navi", "last")


def _settled(service: Service, before: dict[str, int]) -> dict[str, int]:
    """What lives once the load's own connections are closed: as little as before, or what is left after 30 seconds."""
    last: dict[str, int] = {}

    def is_as_before() -> bool:
        nonlocal last
        service.run("navi", "last")  # a pool closes what idled too long when it is next used
        last = service.alive()
        return all(last[key] <= before[key] for key in COUNTED)

    try:
        until("the load's connections to be closed", is_as_before, timeout=30)
    except Exception:  # what is left is reported
        return last
    return last


class _Scrapes:
    """Four scrapes a second, in a thread."""

    def __init__(self, service: Service) -> None:
        self.made = self.failed = 0
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrapes")
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self.made += 1
            try:
                if 'a2a_requests_total{agent="navi"' not in self._service.metrics("application/openmetrics-text"):
                    self.failed += 1
            except httpx.HTTPError:
                self.failed += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
