"""How late event loops run their timers, and for how long one is blocked now.

A timer every 0.1 s measures its own lag. A loop that is blocked for two seconds delays one timer of ours, but each request that
came in these seconds. So the lag is recorded once for each timer that was due meanwhile, and its quantiles are what requests
meet: the correction for coordinated omission, as in HdrHistogram's ``recordValueWithExpectedInterval``
(https://hdrhistogram.github.io/HdrHistogram/JavaDoc/org/HdrHistogram/Histogram.html).

A loop that is found blocked for long is logged once, with what its thread does at that moment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from threading import Lock, Thread, get_ident
from traceback import walk_stack
from typing import Self
from weakref import ref

from telemetry._base.fork import register_after_fork
from telemetry._base.printable import printable

__all__ = ["EventLoops", "LoopWatch"]

_INTERVAL = 0.1
_MAX_RECORDS = 100
_LOGGED_SECONDS = 5.0
"""For how long a loop is blocked before that is logged."""
_MAX_FRAMES = 12
_MAX_CHARACTERS = 1500

_log = logging.getLogger("telemetry")


class EventLoops:
    """The event loops of this process that are watched. A forked child has none until it watches its own.

    A timer lives as long as its loop keeps it: a loop that is closed while it is watched is forgotten.

    Args:
        record: Takes each lag in seconds.
        clock: Seconds from an arbitrary start; it must never be set.
        slot: Returns the worker's number, for the log.
    """

    def __init__(
        self,
        record: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
        slot: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._record = record
        self._clock = clock
        self._slot = slot
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
        longest = None
        for timer in self._running():
            seconds = timer.blocked(now)
            if seconds > _LOGGED_SECONDS and not timer.is_logged:
                timer.is_logged = True
                timer.log(self._slot(), seconds)
            longest = seconds if longest is None else max(longest, seconds)
        return longest

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
    """The timer on one loop, made in the loop's thread.

    Attributes:
        loop: The loop.
        watches: How many there are.
        is_logged: Whether the log has said that the loop is blocked.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, record: Callable[[float], object], clock: Callable[[], float]) -> None:
        self.loop = loop
        self.watches = 0
        self.is_logged = False
        self._thread = get_ident()
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

    def log(self, slot: int | None, seconds: float) -> None:
        """Logs which worker is blocked, and where.

        In a thread of its own: what blocks the loop may be the log.
        """
        worker = "the event loop" if slot is None else f"the event loop of worker {slot}"
        place = _place_of(self._thread)
        _log_aside("%s (process %d) has been blocked for %.1f s in %s", worker, os.getpid(), seconds, place)

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
        if self.is_logged:
            self.is_logged = False
            _log_aside("the event loop (process %d) runs again after %.1f s", os.getpid(), lag)
        if self.watches:  # else it was stopped meanwhile
            self._schedule()


def _place_of(thread: int) -> str:
    """Returns where a thread is, the innermost function first."""
    frame = sys._current_frames().get(thread)
    stack = [] if frame is None else list(walk_stack(frame))[:_MAX_FRAMES]
    calls = (f"{each.f_code.co_name} ({each.f_code.co_filename}:{line})" for each, line in stack)
    return printable(" < ".join(calls), _MAX_CHARACTERS)


def _log_aside(message: str, *arguments: object) -> None:
    """Logs in a thread of its own, or not at all where none can be started: at a limit, or while the interpreter ends."""
    with suppress(RuntimeError):
        Thread(target=_log.warning, args=(message, *arguments), name="telemetry-log", daemon=True).start()
