"""A small catalogue of every kind, and workers of one run within one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telemetry import Telemetry
from telemetry.metric import (
    Catalogue,
    MultiprocessMode,
    closed_label,
    counter,
    histogram,
    observable_gauge,
    open_label,
    up_down_counter,
)

WHO = open_label("who", "somebody", limit=3)


HITS = counter("hits", "{hit}", "Hits", WHO)


TIME = histogram("time", "s", "Time", closed_label("how", "way", "fast", "slow"), bounds=(0.1, 1))


ACTIVE = up_down_counter("active", "{task}", "Active")


LEVEL = observable_gauge("level", "1", "Level", multiprocess_mode=MultiprocessMode.MAX)


HIT = ("hits_total", (("who", "x"),))


FAILURES = "agentos_telemetry_state_failures_total"


Join = Callable[..., Telemetry]


def catalogue() -> Catalogue:
    """A list of every kind, with the counters of the telemetry's own trouble."""
    from telemetry.metric.telemetry_metrics import TELEMETRY

    return Catalogue([HITS, TIME, ACTIVE, LEVEL, *TELEMETRY])


def vanish(telemetry: Telemetry) -> None:
    """End as a process that is killed does: nothing is saved, the lock is gone."""
    workers: Any = telemetry.workers
    workers._server.stop()
    workers._lock.release()
    workers._joined = False


def tick(telemetry: Telemetry) -> None:
    """What happens every second."""
    workers: Any = telemetry.workers
    workers._tick()
