"""Running what may hang: callbacks of observable instruments, each with a time limit, outside of every lock.

A thread cannot be stopped, so a hung callback keeps its thread; the rest goes on in a new one. The same callback is
not started again before its first call came back: a callback that hangs for ever costs one thread, not one a scrape.
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
    """A call that may raise or hang. ``key`` identifies it from scrape to scrape; ``run`` puts what it finds into a
    list.
    """

    key: Any
    metric: str
    run: Callable[[list[Any]], None]


class CallbackResult(NamedTuple):
    """How a job ended."""

    found: list[Any]
    error: BaseException | None


class CallbackExecutor:
    """Runs jobs one after the other, each for at most ``limit`` seconds.

    Once one hangs those after it run side by side, all within one more ``limit``: what hangs often hangs together, and a scrape
    has to end before its scraper loses patience. Callbacks are to be safe for that, since several readers may collect at once:
    https://opentelemetry.io/docs/specs/otel/metrics/api/#asynchronous-instrument-api
    """

    def __init__(self, limit: float, diagnostics: Diagnostics) -> None:
        self.limit = limit
        self._diagnostics = diagnostics
        self._hanging: set[Any] = set()
        self._lock = Lock()

    def run(self, jobs: Sequence[Callback]) -> list[list[Any]]:
        """What each job found: nothing if it hangs, now or since an earlier scrape; what it had so far if it raised."""
        with self._lock:
            ready = [position for position, job in enumerate(jobs) if job.key not in self._hanging]
        found: list[list[Any]] = [[] for _ in jobs]
        worker = _Worker(self, [jobs[position] for position in ready]) if ready else None
        while ready and worker is not None:
            position = ready.pop(0)
            if not self._ended(worker, jobs[position], found[position], self.limit):
                worker = None
        workers = [(position, _Worker(self, [jobs[position]])) for position in ready]
        deadline = monotonic() + self.limit
        for position, single in workers:
            self._ended(single, jobs[position], found[position], max(0.0, deadline - monotonic()))
        return found

    def _ended(self, worker: _Worker, job: Callback, found: list[Any], limit: float) -> bool:
        """Whether the job came to its end in time; what it found goes into ``found``."""
        done = self._wait(worker, job, limit)
        if done is None:
            self._failed(job, "hung", f"did not return within {self.limit:g} s")
            return False
        found += done.found
        if done.error is not None:
            self._failed(job, "raised", f"raised {type(done.error).__name__}: {done.error}")
        return True

    def attempt(self, job: Callback, limit: float) -> CallbackResult | None:
        """How one job ended; None if it takes longer than ``limit``. Nothing is counted or logged: that is the caller's."""
        with self._lock:
            if job.key in self._hanging:
                return None
        return self._wait(_Worker(self, [job]), job, limit)

    def mark_returned(self, job: Callback) -> None:
        """A job that was given up has ended: it may be started again."""
        with self._lock:
            self._hanging.discard(job.key)

    def _wait(self, worker: _Worker, job: Callback, limit: float) -> CallbackResult | None:
        done = worker.next(limit)
        if done is None:
            with self._lock:
                done = worker.give_up()
                if done is None:
                    self._hanging.add(job.key)
        return done

    def _failed(self, job: Callback, reason: str, what: str) -> None:
        self._diagnostics.count(telemetry_metrics.CALLBACK_FAILURES.name, job.metric, reason)
        self._diagnostics.log_once(
            ("callback", job.metric, reason), "a callback of %s %s; its series are left out", job.metric, what
        )


class _Worker:
    """One thread that goes through the jobs until it is given up."""

    def __init__(self, executor: CallbackExecutor, jobs: Sequence[Callback]) -> None:
        self._executor = executor
        self._jobs = jobs
        self._done: SimpleQueue[CallbackResult] = SimpleQueue()
        self._lock = Lock()
        self._given_up = False
        Thread(target=self._work, name="metric-callbacks", daemon=True).start()

    def _work(self) -> None:
        for job in self._jobs:
            found: list[Any] = []
            error: BaseException | None = None
            try:
                job.run(found)
            except BaseException as raised:  # whatever a callback raises, the thread goes on with the next one
                error = raised
            with self._lock:
                self._done.put(CallbackResult(found, error))
                given_up = self._given_up
            if given_up:
                self._executor.mark_returned(job)
                return

    def next(self, limit: float) -> CallbackResult | None:
        """The next job's outcome, None if it takes longer than ``limit``."""
        try:
            return self._done.get(timeout=limit)
        except Empty:
            return None

    def give_up(self) -> CallbackResult | None:
        """Let the thread end after its current job, unless that has ended just now: then its outcome."""
        with self._lock:
            try:
                return self._done.get_nowait()
            except Empty:
                self._given_up = True
                return None
