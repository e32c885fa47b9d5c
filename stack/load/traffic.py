"""Calls of the service over real HTTP, and their outcomes for the caller."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

__all__ = ["Call", "Outcome", "Steady", "make", "mixed", "p99", "tally"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an agent."""

    agent: str
    operation: str
    workspace: str
    text: str
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call: ``success``, ``error`` (the agent failed), ``denied``, or ``broken`` (no valid answer)."""

    call: Call
    status: str
    seconds: float
    trace_id: str


def mixed(count: int) -> list[Call]:
    """Returns calls of both agents: all operations, streams and whole answers, repeated questions, three workspaces."""
    kinds = (("navi", "query"), ("navi", "summarize"), ("herald", "announce"), ("herald", "query"))
    workspaces = itertools.cycle(("acme", "globex", "initech"))
    return [
        Call(*kinds[n % 4], next(workspaces), f"question {n % 37}", stream=n % 3 == 0)  # 37: some answers are cached
        for n in range(count)
    ]


def make(url: str, calls: Iterable[Call], *, at_once: int = 4) -> list[Outcome]:
    """Makes the calls, ``at_once`` at a time, and returns their outcomes in order."""
    with httpx.Client(base_url=url, timeout=30) as client, ThreadPoolExecutor(at_once) as callers:
        return list(callers.map(lambda call: _outcome(client, call), calls))


def tally(outcomes: Iterable[Outcome]) -> Counter[tuple[str, str, str]]:
    """Returns the number of calls by agent, operation and status."""
    return Counter((outcome.call.agent, outcome.call.operation, outcome.status) for outcome in outcomes)


def p99(outcomes: Sequence[Outcome]) -> float:
    """Returns the 99th percentile of the calls' duration in seconds."""
    seconds = sorted(outcome.seconds for outcome in outcomes)
    return seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))]


def _outcome(client: httpx.Client, call: Call) -> Outcome:
    headers = {"X-Workspace-Id": call.workspace, "Accept": "text/event-stream" if call.stream else "application/json"}
    body = {"input": call.text, "operation": call.operation}
    started = time.perf_counter()
    try:
        answer = client.post(f"/agents/{call.agent}/runs", json=body, headers=headers)
    except httpx.HTTPError:
        return Outcome(call, "broken", time.perf_counter() - started, "")
    seconds = time.perf_counter() - started
    if answer.status_code == 429:
        return Outcome(call, "denied", seconds, "")
    streamed = answer.headers["content-type"].startswith("text/event-stream")
    result = json.loads(answer.text.rpartition("data: ")[2] if streamed else answer.text)
    return Outcome(call, result.get("status", "broken"), seconds, result.get("trace_id", ""))


class Steady:
    """A steady load in a thread, ``a_second`` calls per second, until ``stop``."""

    def __init__(self, url: str, a_second: float) -> None:
        self._url = url
        self._every = 1 / a_second
        self._stop = threading.Event()
        self._outcomes: list[tuple[float, Outcome]] = []
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def _run(self) -> None:
        calls = itertools.cycle(mixed(4 * 37 * 3))
        with httpx.Client(base_url=self._url, timeout=30) as client, ThreadPoolExecutor(16) as callers:
            due = time.monotonic()
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += self._every
                callers.submit(self._one, client, next(calls))

    def _one(self, client: httpx.Client, call: Call) -> None:
        outcome = _outcome(client, call)
        self._outcomes.append((time.monotonic(), outcome))

    def ended_between(self, first: float, last: float) -> list[Outcome]:
        """Returns the outcomes of calls that ended between two readings of ``time.monotonic``."""
        return [outcome for at, outcome in self._outcomes if first <= at < last]

    def stop(self) -> list[Outcome]:
        """Ends the load and returns all outcomes."""
        self._stop.set()
        self._thread.join()
        return [outcome for _, outcome in self._outcomes]
