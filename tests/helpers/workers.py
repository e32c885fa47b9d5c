"""A small catalogue with a row of each kind, and workers of one run that live in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telemetry import Telemetry
from telemetry.metric import (
    Catalogue,
    MultiprocessMode,
    closed_label,
    counter,
    gauge,
    histogram,
    observable_gauge,
    open_label,
    up_down_counter,
)
from telemetry.metric.telemetry_metrics import TELEMETRY

WHO = open_label("who", "name of a caller", limit=3)
HITS = counter("hits", "{hit}", "Hits", WHO)
TIME = histogram("time", "s", "Time", closed_label("how", "way", "fast", "slow"), bounds=(0.1, 1))
ACTIVE = up_down_counter("active", "{task}", "Active")
DEPTH = gauge("depth", "{task}", "Depth")
PEAK = gauge("peak", "By", "Peak", multiprocess_mode=MultiprocessMode.MAX)
LEVEL = observable_gauge("level", "1", "Level", multiprocess_mode=MultiprocessMode.MAX)

HIT = ("hits_total", (("who", "x"),))
FAILURES = "agentos_telemetry_state_failures_total"

Join = Callable[..., Telemetry]


def catalogue() -> Catalogue:
    """Returns the rows above with the telemetry's own metrics."""
    return Catalogue([HITS, TIME, ACTIVE, DEPTH, PEAK, LEVEL, *TELEMETRY])


def vanish(telemetry: Telemetry) -> None:
    """Ends the worker like SIGKILL: nothing is saved, the lock is released."""
    workers: Any = telemetry.workers
    workers._server.stop()
    workers._lock.release()
    workers._joined = False


def tick(telemetry: Telemetry) -> None:
    """Does the work that a worker does every second."""
    workers: Any = telemetry.workers
    workers._tick()
