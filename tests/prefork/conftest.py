"""Workers of one run within one process: each with a lock, a socket and a state of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry import Telemetry
from telemetry.metric.definition import Catalogue, Together, closed, counter, histogram, observable_gauge, opened, up_down_counter
from telemetry.prefork import Workers

WHO = opened("who", "somebody", limit=3)
HITS = counter("hits", "{hit}", "Hits", WHO)
TIME = histogram("time", "s", "Time", closed("how", "way", "fast", "slow"), bounds=(0.1, 1))
ACTIVE = up_down_counter("active", "{task}", "Active")
LEVEL = observable_gauge("level", "1", "Level", together=Together.MAX)

HIT = ("hits_total", (("who", "x"),))
FAILURES = "agentos_telemetry_state_failures_total"

Join = Callable[..., Telemetry]


def catalogue() -> Catalogue:
    """A list of every kind, with the counters of the telemetry's own trouble."""
    from telemetry.agentos.catalogue import TELEMETRY

    return Catalogue([HITS, TIME, ACTIVE, LEVEL, *TELEMETRY])


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    """Makes one more worker of the run; it saves only when asked to."""
    made: list[Telemetry] = []

    def make(**options: Any) -> Telemetry:
        workers = Workers(tmp_path / "state", **{"save_every": 3600.0, "patience": 5.0, **options})
        made.append(Telemetry(catalogue(), workers=workers))
        return made[-1]

    yield make
    for telemetry in made:
        telemetry.shutdown()


def vanish(telemetry: Telemetry) -> None:
    """End as a process that is killed does: nothing is saved, the lock is gone."""
    workers: Any = telemetry.workers
    workers._doorbell.stop()
    workers._lock.release()
    workers._joined = False


def tick(telemetry: Telemetry) -> None:
    """What happens every second."""
    workers: Any = telemetry.workers
    workers._tick()
