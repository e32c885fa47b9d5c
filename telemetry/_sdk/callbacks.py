"""Running callbacks of observable instruments, which may hang, with a time limit and outside of every lock.

A thread cannot be stopped, so that a hung callback keeps its thread; the others go on in a new one. A callback is not called
again before its first call has returned: one that hangs for ever costs one thread, not one a scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any, NamedTuple

from telemetry._base.diagnostics import Diagnostics
from telemetry.metric import telemetry_metrics

__all__ = ["Callback", "CallbackExecutor", "CallbackResult"]


class Callback(NamedTuple):
    """A call that may raise or hang.

    Attributes:
        key: Identifies the callback from scrape to scrape.
        metric: Name of the metric, for diagnostics.
        run: Calls it; appends what it returns to a list.
    """

    key: Any
    metric: str
    run: Callable[[list[Any]], None]


class CallbackResult(NamedTuple):
    """How a call ended.

    Attributes:
        found: What it returned, or had returned so far when it raised.
        error: What it raised.
    """

    found: list[Any]
    error: BaseException | None


class CallbackExecutor:
    """Runs callbacks one after the other.

    Once one hangs, those after it run side by side, all within one more ``limit``: what hangs often hangs together, and a
    scrape has to end before its scraper gives up. Callbacks have to be safe for that, since several readers may collect at
    once: https://opentelemetry.io/docs/specs/otel/metrics/api/#asynchronous-instrument-api

    Args:
        limit: Seconds that one callback may take.
        diagnostics: Counts and logs callbacks that raise or hang.
    """

    def __init__(self, limit: float, diagnostics: Diagnostics) -> None:
        self.limit = limit
        self._diagnostics = diagnostics
        self._hanging: set[Any] = set()
        self._lock = Lock()

    def run(self, callbacks: Sequence[Callback]) -> list[list[Any]]:
        """Runs the callbacks, but for those that hang since an earlier scrape.

        Returns:
            What each callback found: nothing if it hangs, what it had so far if it raised.
        """
        with self._lock:
            ready = [position for position, callback in enumerate(callbacks) if callback.key not in self._hanging]
        found: list[list[Any]] = [[] for _ in callbacks]
        worker = _Worker(self, [callbacks[position] for position in ready]) if ready else None
        while ready and worker is not None:
            position = ready.pop(0)
            if not self._ended(worker, callbacks[position], found[position], self.limit):
                worker = None
        workers = [(position, _Worker(self, [callbacks[position]])) for position in ready]
        deadline = monotonic() + self.limit
        for position, single in workers:
            self._ended(single, callbacks[position], found[position], max(0.0, deadline - monotonic()))
        return found

    def _ended(self, worker: _Worker, callback: Callback, found: list[Any], limit: float) -> bool:
        """Waits for a callback and adds what it found to ``found``; returns whether it ended in time."""
        result = self._wait(worker, callback, limit)
        if result is None:
            self._failed(callback, "hung", f"did not return within {self.limit:g} s")
            return False
        found += result.found
        if result.error is not None:
            self._failed(callback, "raised", f"raised {type(result.error).__name__}: {result.error}")
        return True

    def attempt(self, callback: Callback, limit: float) -> CallbackResult | None:
        """Runs one callback. Counts and logs nothing: the caller decides what a failure means.

        Args:
            callback: What to run.
            limit: Seconds that it may take.

        Returns:
            The result; None if the callback takes longer, or hangs since an earlier call.
        """
        with self._lock:
            if callback.key in self._hanging:
                return None
        return self._wait(_Worker(self, [callback]), callback, limit)

    def mark_returned(self, callback: Callback) -> None:
        """Allows a callback that hung to be called again, since its call has returned."""
        with self._lock:
            self._hanging.discard(callback.key)

    def _wait(self, worker: _Worker, callback: Callback, limit: float) -> CallbackResult | None:
        result = worker.next(limit)
        if result is None:
            with self._lock:
                result = worker.give_up()
                if result is None:
                    self._hanging.add(callback.key)
        return result

    def _failed(self, callback: Callback, reason: str, what: str) -> None:
        self._diagnostics.count(telemetry_metrics.CALLBACK_FAILURES.name, callback.metric, reason)
        self._diagnostics.log_once(
            ("callback", callback.metric, reason), "a callback of %s %s; its series are left out", callback.metric, what
        )


class _Worker:
    """A thread that runs callbacks one after the other, until the executor gives it up."""

    def __init__(self, executor: CallbackExecutor, callbacks: Sequence[Callback]) -> None:
        self._executor = executor
        self._callbacks = callbacks
        self._results: SimpleQueue[CallbackResult] = SimpleQueue()
        self._lock = Lock()
        self._given_up = False
        Thread(target=self._work, name="metric-callbacks", daemon=True).start()

    def _work(self) -> None:
        for callback in self._callbacks:
            found: list[Any] = []
            error: BaseException | None = None
            try:
                callback.run(found)
            except BaseException as raised:  # also SystemExit: the thread goes on with the next callback
                error = raised
            with self._lock:
                self._results.put(CallbackResult(found, error))
                given_up = self._given_up
            if given_up:
                self._executor.mark_returned(callback)
                return

    def next(self, limit: float) -> CallbackResult | None:
        """Returns the next callback's result; None if it takes longer than ``limit`` seconds."""
        try:
            return self._results.get(timeout=limit)
        except Empty:
            return None

    def give_up(self) -> CallbackResult | None:
        """Ends the thread after its current callback; returns the result if that callback has ended meanwhile."""
        with self._lock:
            try:
                return self._results.get_nowait()
            except Empty:
                self._given_up = True
                return None
