"""``runtime_metrics``: observes the process for the rows of a telemetry's catalogue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from prometheus_client import ProcessCollector

from telemetry._base.fork import register_after_fork
from telemetry.instruments.observable import ObservableCallback
from telemetry.metric import Metric
from telemetry.metric.definition import ObservableKind
from telemetry.prefork.parent import is_forked
from telemetry.runtime import catalogue
from telemetry.runtime.event_loop import EventLoops, LoopWatch
from telemetry.runtime.process import Process, facts_of

if TYPE_CHECKING:
    from telemetry.pipeline.telemetry import Telemetry
    from telemetry.prefork import Workers

__all__ = ["RuntimeMetrics", "runtime_metrics"]

_ALONE = 0
"""The slot of a process that shares its /metrics with no other."""
_made: WeakKeyDictionary[Telemetry, RuntimeMetrics] = WeakKeyDictionary()
_counted: set[Path] = set()
"""The runs in whose totals this process is, also after its telemetry has ended."""
_lock = Lock()


def _replace_lock() -> None:
    global _lock
    _lock = Lock()  # a thread of the parent may have held it


register_after_fork(_replace_lock)


def runtime_metrics(telemetry: Telemetry) -> RuntimeMetrics:
    """Observes this process for the rows of ``RUNTIME`` that the telemetry's catalogue has.

    ``Telemetry(Catalogue([*rows, *RUNTIME]))`` has all of them; those that a catalogue lacks are left out. A second call for
    the same telemetry returns the same object. Event loops are watched by its ``watch_loop`` alone, also where one runs now.

    Raises:
        ValueError: The catalogue has none of the rows.
    """
    with _lock:
        made = _made.get(telemetry)
        if made is None:
            made = _made[telemetry] = RuntimeMetrics(telemetry)
        return made


class RuntimeMetrics:
    """What observes the process for one telemetry; ``runtime_metrics`` makes it. Nothing needs to be closed.

    Args:
        telemetry: Has the rows, and the workers whose run this process belongs to.
        clock: Seconds from an arbitrary start, for ages and lags.
    """

    def __init__(self, telemetry: Telemetry, *, clock: Callable[[], float] = time.monotonic) -> None:
        rows = [row for row in catalogue.RUNTIME if row.name in telemetry.catalogue.by_name]
        if not rows:
            raise ValueError("the catalogue has no row of RUNTIME: Telemetry(Catalogue([*rows, *RUNTIME])) has all of them")
        self._workers: Workers | None = telemetry.workers
        self._process = Process(forked=is_forked(), counted=_is_counted(self._workers), clock=clock)
        self._run_started = None if self._workers is None else _start_of(self._workers)
        record = telemetry[catalogue.EVENT_LOOP_LAG].labels().observe if catalogue.EVENT_LOOP_LAG in rows else _ignore
        self._loops = EventLoops(record, clock, self._slot)
        for row, callback in self._callbacks().items():
            if row in rows:
                telemetry[row].watch(callback)

    def watch_loop(self) -> LoopWatch:
        """Watches the event loop that runs now: its lag, and for how long it is blocked. Call it in each worker's loop.

        The returned watch ends with its ``with`` block or by ``stop``, and with the loop at the latest. A loop that is watched
        already gets no second timer.

        Raises:
            RuntimeError: No ``asyncio`` event loop runs in this thread.
        """
        return self._loops.watch(asyncio.get_running_loop())

    def _callbacks(self) -> Mapping[Metric[ObservableKind], ObservableCallback]:
        facts = (catalogue.CPU, catalogue.RESIDENT_MEMORY, catalogue.OPEN_FDS, catalogue.MAX_FDS)
        return {
            **{row: self._fact(row) for row in facts},
            catalogue.START_TIME: self._started,
            catalogue.GC_COLLECTIONS: self._process.collections,
            catalogue.WORKERS: lambda: 1,
            catalogue.WORKER_AGE: lambda: self._by_worker(self._process.age()),
            catalogue.WORKER_RESIDENT_MEMORY: lambda: self._by_worker(
                self._process.facts().get(catalogue.RESIDENT_MEMORY.prometheus_name)
            ),
            catalogue.EVENT_LOOP_BLOCKED: lambda: _alone(self._loops.blocked()),
        }

    def _fact(self, row: Metric) -> ObservableCallback:
        name = row.prometheus_name
        return lambda: _alone(self._process.facts().get(name))

    def _started(self) -> Mapping[tuple[()], float]:
        """The start of the run; of a process alone its own."""
        if self._workers is not None:
            return _alone(self._run_started)
        return _alone(self._process.facts().get(catalogue.START_TIME.prometheus_name))

    def _slot(self) -> int | None:
        return _ALONE if self._workers is None else self._workers.slot()

    def _by_worker(self, value: float | None) -> Mapping[str, float]:
        slot = self._slot()
        return {} if value is None or slot is None else {str(slot): value}


def _is_counted(workers: Workers | None) -> bool:
    """Whether this process has counted for the workers' run before; from now on it has."""
    if workers is None:
        return False
    counted = workers.folder in _counted
    _counted.add(workers.folder)
    return counted


def _start_of(workers: Workers) -> float | None:
    """When the run's supervisor started, in seconds since the epoch. A worker that cannot see it leaves that to the others."""
    supervisor = workers.supervisor
    if supervisor is None:
        return None
    pid = supervisor.pid
    started = facts_of(ProcessCollector(pid=lambda: pid, registry=None)).get(catalogue.START_TIME.prometheus_name)
    return None if started is None else workers.agreed_start(started)


def _alone(value: float | None) -> Mapping[tuple[()], float]:
    """The only value of a metric without labels; none if there is no value."""
    return {} if value is None else {(): value}


def _ignore(_: float) -> None:
    """Takes the lag where the catalogue has no row for it."""
