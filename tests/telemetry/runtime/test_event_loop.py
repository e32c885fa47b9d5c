"""Lag and blocking of event loops: by a loop and a clock of the test, and once by a real loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any
from weakref import ref

import pytest
from opentelemetry import trace

from telemetry.runtime.event_loop import EventLoops
from tests.helpers.clock import Clock
from tests.helpers.event_loop import ManualLoop


class Watched:
    """One watched loop: what is recorded, and the loop with its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.now = 0.0  # so that sums of times are exact enough to be compared after rounding
        self.recorded: list[float] = []
        self.loops = EventLoops(self.recorded.append, self.clock)
        self.loop: Any = ManualLoop(self.clock)
        self.watch = self.loops.watch(self.loop)

    def lags(self) -> list[float]:
        """Returns what was recorded since the last call."""
        found = [round(lag, 9) for lag in self.recorded]
        self.recorded.clear()
        return found


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_each_timer_records_its_lag(watched: Watched) -> None:
    """A timer that runs on time records 0, a late one by how much it was late."""
    watched.loop.run()
    watched.loop.run(late=0.03)
    watched.loop.run()
    assert watched.lags() == [0, 0.03, 0]


def test_a_long_delay_counts_for_each_timer_that_was_due_in_it(watched: Watched) -> None:
    """A delay of 0.35 s records what timers every 0.1 s would have met, so that quantiles are not those of one timer."""
    watched.loop.run(late=0.35)
    assert watched.lags() == [0.35, 0.25, 0.15, 0.05]
    watched.loop.run()
    assert watched.lags() == [0]


def test_a_delay_records_at_most_a_hundred_lags_evenly_apart(watched: Watched) -> None:
    """A delay of 40 s records a hundred lags from 40 s down to 0.4 s."""
    watched.loop.run(late=40)
    assert watched.lags() == [round(0.4 * n, 9) for n in range(100, 0, -1)]


def test_a_timer_that_runs_early_has_no_lag(watched: Watched) -> None:
    """A loop whose clock is coarse may run a timer early: the lag is 0, not negative."""
    watched.loop.run(late=-0.001)
    assert watched.lags() == [0]


def test_a_loop_is_blocked_once_its_timer_is_an_interval_overdue(watched: Watched) -> None:
    """What a scrape sees grows while the timer is overdue by more than 0.1 s, and is 0 before and after."""
    seen = []
    for now in (0.1, 0.2, 0.25, 2.1):
        watched.clock.now = now
        seen.append(watched.loops.blocked())
    watched.loop.run(late=2)
    seen.append(watched.loops.blocked())
    assert seen == [0, 0, 0.15, 2, 0]


def test_of_several_loops_the_one_that_is_blocked_longest_is_shown(watched: Watched) -> None:
    """Each loop has its own timer, and what is shown is the longest time."""
    other: Any = ManualLoop(watched.clock)
    watched.clock.now = 0.05
    watched.loops.watch(other)
    watched.clock.now = 1.1
    assert watched.loops.blocked() == 1.0
    watched.watch.stop()
    assert round(watched.loops.blocked() or 0, 9) == 0.95


def test_a_loop_that_is_stopped_is_not_blocked(watched: Watched) -> None:
    """A loop that does not run now cannot be blocked."""
    watched.clock.now = 5
    watched.loop.running = False
    assert watched.loops.blocked() == 0


def test_without_a_watched_loop_there_is_no_value(watched: Watched) -> None:
    """None is watched before the first one and after the last one has stopped."""
    watched.watch.stop()
    assert watched.loops.blocked() is None
    assert watched.loop.timers() == 0


def test_a_second_watch_of_a_loop_adds_no_timer(watched: Watched) -> None:
    """A loop that is watched twice records each lag once, until both watches have stopped; stopping twice counts once."""
    with watched.loops.watch(watched.loop):
        watched.loop.run()
        assert (watched.lags(), watched.loop.timers()) == ([0], 1)
        watched.watch.stop()
        watched.watch.stop()
        assert watched.loop.timers() == 1
    assert watched.loop.timers() == 0


def test_a_watch_that_is_stopped_while_its_timer_runs_sets_no_further_timer() -> None:
    """Another thread may stop the watch at that moment, as at a shutdown: nothing is recorded from then on."""
    clock, recorded = Clock(), []

    def record(lag: float) -> None:
        recorded.append(lag)
        watch.stop()

    loop: Any = ManualLoop(clock)
    watch = EventLoops(record, clock).watch(loop)
    loop.run()
    assert (len(recorded), loop.timers()) == (1, 0)


def test_a_loop_that_is_closed_while_watched_is_forgotten(watched: Watched) -> None:
    """Neither a closed loop nor its timer is kept alive."""
    del watched.watch
    watched.loop.close()
    loop = ref(watched.loop)
    watched.loop = None
    gc.collect()
    assert loop() is None
    assert watched.loops.blocked() is None


def test_a_forked_child_has_no_loops(watched: Watched) -> None:
    """A child starts without its parent's loops, and may watch its own."""
    watched.clock.now = 5
    watched.loops._after_fork_in_child()
    assert watched.loops.blocked() is None
    with watched.loops.watch(watched.loop):
        assert watched.loops.blocked() == 0


class Lines(logging.Handler):
    """Waits for lines of the log, which other threads write."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: SimpleQueue[str] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.put(record.getMessage())

    def next(self) -> str:
        return self._lines.get(timeout=20)

    def all_came(self) -> bool:
        return self._lines.empty()


@pytest.fixture
def log() -> Iterator[Lines]:
    """What the library logs."""
    handler = Lines()
    logging.getLogger("telemetry").addHandler(handler)
    yield handler
    logging.getLogger("telemetry").removeHandler(handler)


def test_a_loop_that_is_blocked_for_long_is_logged_once_with_the_place(log: Lines) -> None:
    """After five seconds the log says which worker is blocked in which function, and later that the loop runs again."""
    clock = Clock()
    clock.now = 0.0
    loop: Any = ManualLoop(clock)
    loops = EventLoops(lambda _: None, clock, lambda: 3)
    loops.watch(loop)
    for now in (5.1, 5.6, 6.1, 7.1):
        clock.now = now
        loops.blocked()
    pid, here = os.getpid(), test_a_loop_that_is_blocked_for_long_is_logged_once_with_the_place.__name__
    line = log.next()
    assert line.startswith(f"the event loop of worker 3 (process {pid}) has been blocked for 5.5 s in _place_of (")
    assert f" < {here} ({__file__}:" in line
    loop.run(late=9.25)
    assert log.next() == f"the event loop (process {pid}) runs again after 9.2 s"
    loop.run()
    clock.now += 6
    loops.blocked()
    assert "has been blocked for 5.9 s" in log.next()
    assert log.all_came()


def test_a_loop_is_watched_on_where_no_thread_can_be_started(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process may start no thread, the log stays silent: the value is read, and the timer goes on."""
    watched.clock.now = 6.1
    with monkeypatch.context() as full:
        full.setattr(Thread, "start", _cannot_start)
        assert watched.loops.blocked() == 6
        watched.loop.run(late=7)
    assert (watched.loop.timers(), watched.loops.blocked()) == (1, 0)


def _cannot_start(_: Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_lags_are_recorded_outside_of_the_callers_span() -> None:
    """A watch that begins within a span records without it: no exemplar leads to that trace."""
    clock = Clock()
    spans: list[bool] = []
    loop: Any = ManualLoop(clock)
    loops = EventLoops(lambda _: spans.append(trace.get_current_span().get_span_context().is_valid), clock)
    span = trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False))
    with trace.use_span(span):
        assert trace.get_current_span() is span
        loops.watch(loop)
        loop.run()
        loop.run()
    assert spans == [False, False]


@pytest.mark.parametrize("debug", [False, True])
def test_a_real_loop_is_seen_blocked_from_another_thread(debug: bool) -> None:
    """While a callback blocks a real loop, another thread sees for how long; afterwards the lag is recorded."""
    recorded: list[float] = []
    seen: list[float] = []
    was_seen, was_recorded = Event(), asyncio.Event()
    loops = EventLoops(lambda lag: (recorded.append(lag), was_recorded.set()))

    def look() -> None:
        """Waits until the loop is blocked, and then for longer than that."""
        while len(seen) < 2:
            found = loops.blocked() or 0
            if found > max(seen, default=0):
                seen.append(found)
        was_seen.set()

    async def main() -> None:
        with loops.watch(asyncio.get_running_loop()):
            Thread(target=look).start()
            assert was_seen.wait(20)  # blocks the loop
            await was_recorded.wait()
        assert loops.blocked() is None

    asyncio.run(main(), debug=debug)
    assert recorded[0] > seen[1] > seen[0] > 0.1
