"""Every panel of the process and its runtime against a real Prometheus, before, while and after a worker's loop is blocked."""

from __future__ import annotations

import math
import os
import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import Service
from telemetry.runtime.catalogue import RUNTIME
from tests.helpers.blocked_loop import BLOCKING_APP, blocked
from tests.helpers.dashboard_panels import (
    FORMS,
    HISTOGRAM_PANELS,
    INTERVAL,
    RATE_INTERVAL,
    RUNTIME_PANELS,
    Measured,
    Raw,
    Selection,
    asked,
    now,
    quantiles,
)
from tests.helpers.grafana_board import in_grafana
from tests.helpers.required_servers import built_server

SETTINGS = {"AGENTOS_RUNTIME_METRICS": "on", "AGENTOS_NATIVE_HISTOGRAMS": "on"}
WORKERS = 2
LAG, BLOCKED = "python_eventloop_lag_seconds", "python_eventloop_blocked_seconds"
LATE = 3.0
"""The block is released once a scrape has seen it last for so many seconds."""

ALL = Selection("all", {})


@dataclass(frozen=True, slots=True)
class Block:
    """What was seen of a service of which one worker's loop was blocked for some seconds."""

    service: Service
    during: Measured
    after: Measured
    lasted: float
    """Seconds from the request to its answer: the block was shorter."""


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Block]:
    """Two workers run, one of their loops was blocked, and all was scraped in each form."""
    folder = tmp_path_factory.mktemp("runtime")
    with ExitStack() as stack:
        service = stack.enter_context(Service(folder / "service", SETTINGS, app=BLOCKING_APP, workers=WORKERS))
        jobs = [scrape_job(job, service.address, interval="500ms", **FORMS[job]) for job in FORMS]
        store = stack.enter_context(Prometheus(built_server("prometheus"), folder / "prometheus", jobs))
        until("both workers", lambda: store.value(f"sum(process_workers == {WORKERS})") == WORKERS * len(jobs))
        until("rates", lambda: (store.value(f"min(count_over_time({BLOCKED}[1m]))") or 0) >= 3)
        begin = time.monotonic()
        with blocked(service, folder / "pipe") as answer:
            until("a long block", lambda: (store.value(f"min({BLOCKED})") or 0) > LATE)
            during = Measured(store, _now())
        answer.result().raise_for_status()
        lasted = time.monotonic() - begin
        until("the end of the block", lambda: store.value(f"max({BLOCKED})") == 0)
        late = f'sum by (job) ({LAG}_count{{job="agentos"}}) - on () sum({LAG}_bucket{{job="agentos", le="2.5"}})'
        until("the lag of the block", lambda: (store.value(late) or 0) > 0)
        # Scrapes that were on their way to the blocked worker have failed: each job needs a later one that has not.
        last = [store.last_scrape_after(job, "") or "" for job in FORMS]
        later = partial(map, store.last_scrape_after, FORMS, last)
        until("the next scrapes", lambda: all(later()) and store.value("sum(up)") == len(jobs))
        yield Block(service, during, Measured(store, _now()), lasted)


def _now() -> float:
    """The time in whole milliseconds, as Prometheus has it."""
    return round(time.time(), 3)


def _by(raw: Raw, metric: str, function: str, *keys: str) -> dict[str, float]:
    """A function of each series by labels, as a panel with a line for each shows it."""
    return {" ".join(group): value for group, value in raw.by(metric, function, *keys).items()}


def _used(raw: Raw) -> dict[str, float]:
    allowed = raw.by("process_max_fds", "", "instance")
    return {instance: count / allowed[instance,] for (instance,), count in raw.by("process_open_fds", "", "instance").items()}


EXPECTED: dict[str, Callable[[Raw], dict[str, float]]] = {
    "Blocked Now": lambda raw: now(raw.total(BLOCKED, "")),
    "Event Loop Lag p99": lambda raw: now(quantiles(raw, 0.99, LAG, "5m")[()]),
    "Workers": lambda raw: now(raw.total("process_workers", "")),
    "Since Last Start": lambda raw: now(raw.at - raw.total("process_start_time_seconds", "")),
    "Memory": lambda raw: now(raw.total("process_resident_memory_bytes", "")),
    "File Descriptors": lambda raw: now(max(_used(raw).values())),
    "Event Loop Lag (p50, p99)": lambda raw: {f"p{100 * q:g}": quantiles(raw, q, LAG, RATE_INTERVAL)[()] for q in (0.5, 0.99)},
    "Event Loop Lag p99 by Instance": lambda raw: {
        instance: value for (instance,), value in quantiles(raw, 0.99, LAG, RATE_INTERVAL, "instance").items()
    },
    "Event Loop Blocked": lambda raw: _by(raw, BLOCKED, f"max_over_time[{INTERVAL}]", "instance"),
    "Workers by Instance": lambda raw: _by(raw, "process_workers", "", "instance"),
    "Worker Age": lambda raw: _by(raw, "process_worker_age_seconds", "", "instance", "worker"),
    "Memory by Worker": lambda raw: _by(raw, "process_worker_resident_memory_bytes", "", "instance", "worker"),
    "CPU by Instance": lambda raw: _by(raw, "process_cpu_seconds_total", f"rate[{RATE_INTERVAL}]", "instance"),
    "Memory by Instance": lambda raw: _by(raw, "process_resident_memory_bytes", "", "instance"),
    "File Descriptors by Instance": _used,
    "Garbage Collections": lambda raw: {
        f"generation {generation}": value
        for (generation,), value in raw.by("python_gc_collections_total", f"rate[{RATE_INTERVAL}]", "generation").items()
    },
}

CASES = [(title, "agentos") for title in RUNTIME_PANELS] + [
    (title, job) for title in HISTOGRAM_PANELS if title in RUNTIME_PANELS for job in FORMS if job != "agentos"
]


@pytest.mark.parametrize("moment", ["during", "after"])
@pytest.mark.parametrize(("title", "job"), CASES)
def test_a_panel_shows_the_values_of_the_single_series(block: Block, title: str, job: str, moment: str) -> None:
    """While a loop is blocked and afterwards each panel's values equal those computed from every single series of the job."""
    measured = block.during if moment == "during" else block.after
    selection = replace(ALL, job=job)
    shown = asked(measured.store, title, selection, measured.at)
    assert shown, "the panel is empty"
    assert shown == pytest.approx(EXPECTED[title](Raw(measured.store, measured.at, selection)), rel=1e-9)


def _shown(block: Block, title: str, measured: Measured | None = None, **chosen: str) -> dict[str, float]:
    """What a panel shows after the block, or at another moment."""
    at = measured or block.after
    return asked(at.store, title, Selection("chosen", {key: [value] for key, value in chosen.items()}), at.at)


def test_the_block_is_seen_while_it_lasts_and_its_end_too(block: Block) -> None:
    """A scrape by the other worker shows how long the loop has been blocked; when it runs again, none is."""
    assert LATE < _shown(block, "Blocked Now", block.during)["now"] < block.lasted
    assert _shown(block, "Blocked Now") == {"now": 0}
    assert LATE < _shown(block, "Event Loop Blocked", block.during)[block.service.address] < block.lasted


def test_the_lag_has_the_time_that_was_lost(block: Block) -> None:
    """One of 100 moments of the minute was late by at least a part of the block, in each form of the histogram."""
    for job in FORMS:
        selection = replace(ALL, job=job)
        p99 = asked(block.after.store, "Event Loop Lag (p50, p99)", selection, block.after.at)["p99"]
        assert 1 < p99 < 10


def test_the_workers_are_those_that_run(block: Block) -> None:
    """The workers are counted, and have the numbers 0 and 1; a variable narrows the panels to one of them."""
    address = block.service.address
    assert _shown(block, "Workers") == {"now": WORKERS}
    assert _shown(block, "Workers by Instance") == {address: WORKERS}
    assert sorted(_shown(block, "Worker Age")) == [f"{address} 0", f"{address} 1"]
    assert list(_shown(block, "Memory by Worker", worker="1")) == [f"{address} 1"]


def test_the_numbers_are_those_of_the_processes(block: Block) -> None:
    """Limits and memory are the sums of what the kernel says of the workers, and the start is the supervisor's."""
    raw = Raw(block.after.store, block.after.at, ALL)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert raw.total("process_max_fds", "") == WORKERS * soft
    resident = sum(map(_resident, block.service.workers()))
    assert _shown(block, "Memory")["now"] == pytest.approx(resident, rel=0.1)
    assert sum(_shown(block, "Memory by Worker").values()) == pytest.approx(resident, rel=0.1)
    started = raw.total("process_start_time_seconds", "")
    assert started == pytest.approx(_started(block.service.pid), abs=0.02)


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _started(pid: int) -> float:
    """The start of a process in seconds since the epoch, by the kernel's tick counter and its boot time."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    boot = re.search(r"(?m)^btime (\d+)", Path("/proc/stat").read_text())
    assert boot is not None
    return int(boot[1]) + ticks / os.sysconf("SC_CLK_TCK")


def test_every_row_is_scraped(block: Block) -> None:
    """Prometheus has series of each metric of the process and its runtime."""
    store = block.after.store
    names = {labels["__name__"] for labels in store.get("series", **{"match[]": '{job="agentos"}'})}
    assert {row.prometheus_name for row in RUNTIME} - {name.removesuffix("_count") for name in names} == set()


def test_grafana_shows_the_same(block: Block) -> None:
    """In Grafana's own code each panel over time has the lines and values of Prometheus, and the variables their values."""
    store = block.after.store
    end = math.ceil(block.after.at / 15) * 15  # Grafana queries whole steps
    until("samples behind a whole step", lambda: store.value(f'timestamp(up{{job="agentos"}}) > bool {end}'))
    shown = in_grafana(store, "agentos-runtime", end - 300, end)
    over_time = [title for title, panel in RUNTIME_PANELS.items() if panel["type"] == "timeseries"]
    assert len(over_time) == 10
    for title in over_time:
        found = {name: points[-1] for name, points in shown["panels"][title]["series"].items()}
        assert {name: value for name, (_, value) in found.items()} == pytest.approx(asked(store, title, ALL, end), rel=1e-9)
        assert {at for at, _ in found.values()} == {end * 1000}
    assert shown["variables"]["instance"] == [block.service.address]
    assert sorted(shown["variables"]["worker"]) == ["0", "1"]
