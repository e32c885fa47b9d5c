"""What the kernel and the garbage collector say about this process, right in each forked child."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping
from threading import Lock

from prometheus_client import ProcessCollector
from prometheus_client.registry import Collector

from telemetry._base.fork import register_after_fork
from telemetry.runtime.catalogue import CPU, START_TIME

__all__ = ["Process", "collections", "facts_of"]

_FRESH_SECONDS = 0.01
"""Age up to which a reading serves further rows: those of one collect."""


def facts_of(collector: Collector) -> dict[str, float]:
    """Returns the samples of a collector without labels, by name."""
    return {sample.name: sample.value for family in collector.collect() for sample in family.samples}


def collections() -> dict[str, float]:
    """Returns the runs of the garbage collector by generation; none where the interpreter does not count them so."""
    found = gc.get_stats() if hasattr(gc, "get_stats") else ()
    return {str(number): each["collections"] for number, each in enumerate(found)} if isinstance(found, list) else {}


class Process:
    """This process. A forked child is another one: it is as old as the fork, and has collected nothing yet.

    Threads of the child may read before it is reset here. They get no values: those of its parent would fall afterwards.

    Args:
        collector: Reads ``/proc``; by default prometheus_client's.
        collections: Counts the runs of the garbage collector by generation.
        forked: Whether the counts of now are those of a parent that has forked this process.
        counted: Whether the counts of now are in the run's totals already, by an earlier telemetry of this process.
        clock: Seconds from an arbitrary start.
    """

    def __init__(
        self,
        collector: Collector | None = None,
        collections: Callable[[], Mapping[str, float]] = collections,
        *,
        forked: bool = False,
        counted: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._collector = ProcessCollector(registry=None) if collector is None else collector
        self._collections = collections
        self._clock = clock
        self._lock = Lock()
        self._counted_cpu = 0.0
        self._facts = self._read()
        if counted and CPU.prometheus_name in self._facts:
            self._counted_cpu = self._facts[CPU.prometheus_name]
            self._facts[CPU.prometheus_name] = 0.0
        self._read_at = self._born = clock()
        if (started := self._facts.get(START_TIME.prometheus_name)) is not None:
            self._born -= max(0.0, time.time() - started)
        self._inherited: Mapping[str, float] = collections() if forked or counted else {}
        self._pid = os.getpid()
        register_after_fork(self._after_fork_in_child)

    def facts(self) -> Mapping[str, float]:
        """Returns what ``/proc`` says, by the names in Prometheus; nothing where there is none.

        One reading serves all rows of a collect. A fact that cannot be read now, as without free descriptors, keeps its last
        value: a total must not fall.
        """
        if self._pid != os.getpid():
            return {}
        with self._lock:
            if self._clock() - self._read_at >= _FRESH_SECONDS:
                self._facts = {**self._facts, **self._read()}
                self._read_at = self._clock()
            return self._facts

    def age(self) -> float | None:
        """Returns the seconds since the process started; without ``/proc``, since this object was made."""
        return None if self._pid != os.getpid() else self._clock() - self._born

    def collections(self) -> dict[str, float]:
        """Returns the runs of the garbage collector in this process, by generation."""
        if self._pid != os.getpid():
            return {}
        return {generation: count - self._inherited.get(generation, 0) for generation, count in self._collections().items()}

    def _read(self) -> dict[str, float]:
        facts = facts_of(self._collector)
        if CPU.prometheus_name in facts:
            facts[CPU.prometheus_name] -= self._counted_cpu
        return facts

    def _after_fork_in_child(self) -> None:
        self._lock = Lock()
        self._inherited = self._collections()
        self._counted_cpu = 0.0
        self._facts = self._read()
        self._read_at = self._born = self._clock()
        self._pid = os.getpid()  # last: only now it may be read
