"""Process and runtime of several workers behind one /metrics, by real servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import httpx
import pytest
from prometheus_client import ProcessCollector

from stack.servers.process import until
from stack.servers.service import GUNICORN, UVICORN, Service
from tests.helpers.blocking_app import PREFIX
from tests.helpers.samples import Samples, labelled, samples_of

SERVERS = pytest.mark.parametrize("server", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
CPU = ("process_cpu_seconds_total", ())
WORKERS = ("process_workers", ())
START = ("process_start_time_seconds", ())
RESIDENT = ("process_resident_memory_bytes", ())
BLOCKED = ("python_eventloop_blocked_seconds", ())
LAGS = "python_eventloop_lag_seconds"
TICK = 0.01
"""The kernel's unit of CPU time in seconds."""

Start = Callable[..., Service]


@pytest.fixture
def workers(service: Start, tmp_path: Path) -> Start:
    """Starts the service with several workers whose runtime is measured."""

    def start(count: int, server: tuple[str, ...] = UVICORN, app: str = "agents.main:app") -> Service:
        settings = {"AGENTOS_RUNTIME_METRICS": "on", "AGENTOS_STATE_DIRECTORY": str(tmp_path / "state")}
        started = service(settings, server=server, workers=count, app=app)
        until("all workers", lambda: scrape(started).get(WORKERS) == count, timeout=60)
        return started

    return start


def scrape(service: Service) -> Samples:
    """Scrapes the worker that accepts the connection; nothing where that worker has just ended."""
    try:
        return samples_of(service.metrics())
    except httpx.TransportError:
        return {}


def fact(pid: int, name: str) -> float:
    """What ``/proc`` says about a process."""
    collector = ProcessCollector(pid=lambda: pid, registry=None)
    return next(sample.value for family in collector.collect() for sample in family.samples if sample.name == name)


def by_slot(samples: Samples, name: str) -> dict[str, float]:
    """Returns the samples of a metric by worker."""
    return {dict(labels)["worker"]: value for (found, labels), value in samples.items() if found == name}


def shown_once(service: Service, holds: Callable[[float], bool]) -> Samples:
    """Returns the first scrape in which this holds for the time of the blocked loop."""

    def ask() -> Samples | None:
        found = scrape(service)
        return found if BLOCKED in found and holds(found[BLOCKED]) else None

    return until("a scrape", ask)


def above(samples: Samples, bound: str) -> float:
    """Returns how many lags are above a bound."""
    return samples[f"{LAGS}_count", ()] - samples[labelled(f"{LAGS}_bucket", le=bound)]


def writing_end(pipe: Path) -> int:
    """Returns the pipe's end for the test; 0 while no process has the other one."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0


@SERVERS
def test_sums_are_those_of_the_workers(workers: Start, server: tuple[str, ...]) -> None:
    """CPU time is the sum of the workers' by the kernel, the start is the supervisor's, and each worker has its slot."""
    service = workers(3, server)
    pids = service.workers()
    before = sum(fact(pid, CPU[0]) for pid in pids)
    shown = scrape(service)
    after = sum(fact(pid, CPU[0]) for pid in pids)
    assert before - len(pids) * 2 * TICK <= shown[CPU] <= after  # each worker's reading is up to 10 ms old
    assert shown[START] == fact(service.pid, START[0])
    ages = by_slot(shown, "process_worker_age_seconds")
    memory = by_slot(shown, "process_worker_resident_memory_bytes")
    assert sorted(ages) == sorted(memory) == ["0", "1", "2"]
    assert sum(memory.values()) == shown[RESIDENT]
    assert until("a lag of each loop", lambda: scrape(service).get((f"{LAGS}_count", ()), 0) > 30)


@SERVERS
def test_a_killed_worker_leaves_its_slot_and_its_cpu_time(workers: Start, server: tuple[str, ...]) -> None:
    """While a worker is killed and replaced, CPU time never falls, the start stays, and the successor takes the slot over."""
    service = workers(3, server)
    first = scrape(service)
    killed = service.workers()[0]
    os.kill(killed, signal.SIGKILL)
    seen = [first]

    def replaced() -> bool:
        if found := scrape(service):
            seen.append(found)
        return [each[WORKERS] for each in seen[-2:]] == [3, 3] and 2 in [each[WORKERS] for each in seen]

    until("a successor", replaced)
    totals = [each[CPU] for each in seen]
    assert totals == sorted(totals)
    assert {each[START] for each in seen} == {first[START]}
    ages = by_slot(seen[-1], "process_worker_age_seconds")
    assert sorted(ages) == ["0", "1", "2"]
    assert min(ages.values()) < min(by_slot(first, "process_worker_age_seconds").values())


@SERVERS
def test_a_blocked_loop_is_seen_in_another_workers_scrape(workers: Start, tmp_path: Path, server: tuple[str, ...]) -> None:
    """While one worker's loop is blocked, another one's scrape shows it and for how long; afterwards the lag is counted."""
    service = workers(2, server, "tests.helpers.blocking_app:app")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    request = Thread(target=httpx.get, args=(f"{service.url}{PREFIX}{pipe}",), kwargs={"timeout": 60})
    request.start()
    with os.fdopen(until("a reader", lambda: writing_end(pipe)), "wb"):  # once the worker is blocked
        first = until("a blocked loop", lambda: scrape(service).get(BLOCKED))
        later = shown_once(service, lambda blocked: blocked > 2 * first)
        assert later[WORKERS] == 2
    request.join()
    after = shown_once(service, lambda blocked: blocked == 0)
    assert after[f"{LAGS}_sum", ()] - later[f"{LAGS}_sum", ()] >= later[BLOCKED]
    assert above(after, "0.1") - above(later, "0.1") >= int(later[BLOCKED] / 0.1) - 1


def test_preloaded_workers_are_observed_each(service: Start, tmp_path: Path) -> None:
    """Workers that gunicorn forks with the telemetry in them have slots and loops of their own, and count nothing twice."""
    preload = (*GUNICORN, "--preload")
    collections = 50  # of the oldest generation in the parent, before its workers exist
    settings = {"COLLECTIONS": str(collections), "STATE_DIRECTORY": str(tmp_path / "state")}
    started = service(settings, server=preload, workers=2, app="tests.helpers.preloaded_app:app")

    def all_slots() -> Samples | None:
        """Returns a scrape with an age of each worker: a child that was just forked is alive before it has one."""
        found = scrape(started)
        return found if len(by_slot(found, "process_worker_age_seconds")) == 3 else None

    shown = until("both workers", all_slots, timeout=60)
    assert sorted(by_slot(shown, "process_worker_age_seconds")) == ["0", "1", "2"]  # the parent has the telemetry too
    assert shown[WORKERS] == 3
    assert collections <= shown[labelled("python_gc_collections_total", generation="2")] < 2 * collections
    assert shown[START] == fact(started.pid, START[0])
    assert until("lags of both loops", lambda: scrape(started).get((f"{LAGS}_count", ()), 0) > 20)
