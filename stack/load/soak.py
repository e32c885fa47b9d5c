"""A service under a steady load for a while, to see whether its memory, tasks, threads, files or sockets only grow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import httpx

from stack.load import traffic
from stack.load.traffic import Steady
from stack.servers.process import ServerError, until
from stack.servers.service import Service

__all__ = ["COUNTED", "FULL", "SETTINGS", "Soaked", "soak", "trend"]

SETTINGS = {
    "AGENTOS_RATE_LIMIT": "off",
    "AGENTOS_CLIENT_RATE_LIMIT": "off",
    "AGENTOS_CACHE_SIZE": "50",
    "AGENTOS_PROVIDERS": '{"swift": {"latency": 0.002, "failure_rate": 0.1}}',
}
FULL = 2_200
"""Calls after which each agent keeps its maximum of 1,000 last tasks."""
COUNTED = ("tasks", "threads", "sockets", "files")
_A_SECOND = 8.0
_NOISE_BLOCKS = 5_000
"""Blocks that come and go with running calls; a leak of one object per call adds as many in ten minutes."""
_NOISE_BYTES = 1 << 20
_CLOCK = threading.Event()  # never set: waiting on it lets time pass


@dataclass(frozen=True, slots=True)
class Soaked:
    """The readings and results of a soak run."""

    readings: list[dict[str, int]]
    """The process' counts under load, one reading after the other."""
    calls: int
    broken: int
    """Calls that got no answer from the service."""
    scrapes: int
    failed_scrapes: int
    before: dict[str, int]
    after: dict[str, int]
    """The counts without load, before and after the run."""

    @property
    def left_behind(self) -> dict[str, int]:
        """The number of tasks, threads, sockets and files that the load left behind, where there are any."""
        return {key: more for key in COUNTED if (more := self.after[key] - self.before[key]) > 0}

    def growth(self, key: str) -> tuple[float, float]:
        """Returns the growth over the last two thirds of the readings by their trend, and the spread around it."""
        settled = self.readings[len(self.readings) // 3 :]
        return trend([float(reading[key]) for reading in settled])

    @property
    def grows(self) -> bool:
        """Whether the interpreter's blocks or the resident memory grow by more than their noise."""
        return any(
            grown > max(noise, allowed)
            for (grown, noise), allowed in ((self.growth("blocks"), _NOISE_BLOCKS), (self.growth("resident"), _NOISE_BYTES))
        )

    @property
    def blocks_a_call(self) -> float:
        """The interpreter's blocks that each call left behind, from before the load to after it."""
        return (self.after["blocks"] - self.before["blocks"]) / max(1, self.calls)


def trend(values: Sequence[float]) -> tuple[float, float]:
    """Returns the rise over all values, and the spread around it.

    The slope is the median of the slopes between all pairs (Theil and Sen), so that a jump now and then, as an allocator
    makes, is no trend.
    """
    slope = median((values[b] - values[a]) / (b - a) for a, b in combinations(range(len(values)), 2))
    level = median(value - slope * at for at, value in enumerate(values))
    strays = sorted(abs(value - slope * at - level) for at, value in enumerate(values))
    return slope * (len(values) - 1), 2 * strays[int(0.9 * (len(strays) - 1))]


def soak(
    service: Service, seconds: float, readings: int, tell: Callable[[float, dict[str, int]], object], *, first: int = FULL
) -> Soaked:
    """Loads and scrapes a service, and reads its counts.

    Args:
        service: A service that runs ``stack.instrumented_app:app``.
        seconds: Duration of the load.
        readings: Number of readings during the load.
        tell: Called with the seconds passed and each reading.
        first: Calls before the first reading.
    """
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
    """Makes everything that is made once: code, connections, threads, and the tasks and answers that the service keeps."""
    traffic.make(service.url, traffic.mixed(calls), at_once=4)
    with ThreadPoolExecutor(16) as readers:
        list(readers.map(lambda _: service.metrics(), range(32)))
    service.run("navi", "last")


def _settled(service: Service, before: dict[str, int]) -> dict[str, int]:
    """Returns the counts once they are back to ``before``, or after 30 seconds."""
    last: dict[str, int] = {}

    def is_as_before() -> bool:
        nonlocal last
        service.run("navi", "last")  # a pool closes connections that idled too long when it is next used
        last = service.alive()
        return all(last[key] <= before[key] for key in COUNTED)

    try:
        until("the load's connections to be closed", is_as_before, timeout=30)
    except (ServerError, httpx.HTTPError):  # the caller reports what is left
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
