"""How late event loops run their timers, and for how long one is blocked now.

A timer every 0.1 s measures its own lag. A loop that is blocked for two seconds delays one timer of ours, but each request that
came in these seconds. So the lag is recorded once for each timer that was due meanwhile, and its quantiles are what requests
meet: the correction for coordinated omission, as in HdrHistogram's ``recordValueWithExpectedInterval``
(https://hdrhistogram.github.io/HdrHistogram/JavaDoc/org/HdrHistogram/Histogram.html).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from threading import Lock
from typing import Self
from weakref import ref

from telemetry._base.fork import register_after_fork

__all__ = ["EventLoops", "LoopWatch"]

_INTERVAL = 0.1
_MAX_RECORDS = 100


class EventLoops:
    """The event loops of this process that are watched. A forked child has none until it watches its own.

    A timer lives as long as its loop keeps it: a loop that is closed while it is watched is forgotten.

    Args:
        record: Takes each lag in seconds.
        clock: Seconds from an arbitrary start; it must never be set.
    """

    def __init__(self, record: Callable[[float], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._clock = clock
        self._lock = Lock()
        self._timers: tuple[ref[_LoopTimer], ...] = ()
        """Replaced as a whole: other threads read it."""
        register_after_fork(self._after_fork_in_child)

    def watch(self, loop: asyncio.AbstractEventLoop) -> LoopWatch:
        """Starts to watch a loop, in its own thread. A loop that is watched already keeps its one timer."""
        with self._lock:
            running = self._running()
            timer = next((each for each in running if each.loop is loop), None)
            if timer is None:
                timer = _LoopTimer(loop, self._record, self._clock)
                self._timers = (*map(ref, running), ref(timer))
            return LoopWatch(timer)

    def blocked(self) -> float | None:
        """Returns for how many seconds the loop that is blocked longest has been so.

        0 while all of them run, None where none is watched.
        """
        now = self._clock()
        return max((timer.blocked(now) for timer in self._running()), default=None)

    def _running(self) -> list[_LoopTimer]:
        return [timer for each in self._timers if (timer := each()) is not None and timer.watches]

    def _after_fork_in_child(self) -> None:
        self._lock = Lock()
        self._timers = ()


class LoopWatch:
    """An event loop is watched until ``stop``, or the end of the ``with`` block."""

    def __init__(self, timer: _LoopTimer) -> None:
        self._timer: _LoopTimer | None = timer
        timer.watches += 1

    def stop(self) -> None:
        """Stops watching, in the loop's thread. A second call does nothing."""
        if self._timer is not None:
            self._timer.watches -= 1
            if not self._timer.watches:
                self._timer.cancel()
            self._timer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _LoopTimer:
    """The timer on one loop, and how many ``watches`` it has."""

    def __init__(self, loop: asyncio.AbstractEventLoop, record: Callable[[float], object], clock: Callable[[], float]) -> None:
        self.loop = loop
        self.watches = 0
        self._record = record
        self._clock = clock
        self._context = Context()  # without the caller's span: a lag belongs to no trace
        self._schedule()

    def cancel(self) -> None:
        self._handle.cancel()

    def blocked(self, now: float) -> float:
        """Returns by how many seconds the timer is overdue, if by more than an interval; 0 of a loop that does not run."""
        overdue = now - self._due
        return overdue if overdue > _INTERVAL and self.loop.is_running() else 0.0

    def _schedule(self) -> None:
        self._due = self._clock() + _INTERVAL
        self._handle = self.loop.call_later(_INTERVAL, self._run, context=self._context)

    def _run(self) -> None:
        """Records the lag of this timer, and of those that would have been due since: at most a hundred, evenly apart."""
        lag = max(0.0, self._clock() - self._due)
        missed = int(lag / _INTERVAL)
        step = _INTERVAL if missed < _MAX_RECORDS else lag / _MAX_RECORDS
        for number in range(min(missed + 1, _MAX_RECORDS)):
            self._record(max(0.0, lag - number * step))
        self._schedule()
