"""``runtime_metrics`` on a telemetry: alone, with workers, in forked children, beside prometheus_client, pushed."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from pathlib import Path
from threading import Thread
from typing import Any
from weakref import ref

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from telemetry import RUNTIME, Catalogue, Telemetry, runtime_metrics
from telemetry.metric import counter
from telemetry.metric.telemetry_metrics import TELEMETRY
from telemetry.prefork import Workers
from telemetry.runtime import RuntimeMetrics, metrics
from telemetry.runtime.catalogue import EVENT_LOOP_BLOCKED, EVENT_LOOP_LAG, WORKERS
from tests.helpers.fork import in_child
from tests.helpers.samples import labelled, points, read

VISITS = counter("visits", "{visit}", "Visits")
CPU = ("process_cpu_seconds_total", ())
START = ("process_start_time_seconds", ())
NAMES = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_worker_age_seconds",
    "process_worker_resident_memory_bytes",
    "process_workers",
    "python_gc_collections_total",
}


def observed(**options: Any) -> Telemetry:
    """Returns a telemetry with all rows, which are observed."""
    telemetry = Telemetry(Catalogue([VISITS, *RUNTIME, *TELEMETRY]), strict=True, **options)
    runtime_metrics(telemetry)
    return telemetry


def names(telemetry: Telemetry) -> set[str]:
    """Returns the names of the samples about the process."""
    return {name for name, _ in read(telemetry) if name.startswith(("process_", "python_"))}


def test_a_process_alone_has_each_row() -> None:
    """Alone, each row has a value: one worker, whose slot is 0; nothing of loops, of which none is watched."""
    before = time.process_time()
    shown = read(telemetry := observed())
    assert names(telemetry) == NAMES
    assert shown["process_workers", ()] == 1
    assert shown[CPU] >= before - 0.02  # the kernel counts in ticks of 10 ms, user and system apart
    assert shown["process_max_fds", ()] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert shown["process_open_fds", ()] >= 3
    assert shown[labelled("process_worker_resident_memory_bytes", worker="0")] == shown["process_resident_memory_bytes", ()]
    assert shown[labelled("process_worker_age_seconds", worker="0")] >= 0
    assert shown[START] == _process_facts()["process_start_time_seconds"]


def _process_facts() -> dict[str, float]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return {sample.name: sample.value for family in registry.collect() for sample in family.samples}


def test_a_second_call_adds_nothing() -> None:
    """The same telemetry gets the same object, and its values are not doubled."""
    telemetry = observed()
    assert runtime_metrics(telemetry) is runtime_metrics(telemetry)
    assert read(telemetry)["process_workers", ()] == 1


def test_threads_that_ask_at_once_get_the_same_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that asks while the object is made in another one waits for it, and no value is doubled."""
    telemetry = Telemetry(Catalogue(RUNTIME))
    found: list[RuntimeMetrics] = []
    second = Thread(target=lambda: found.append(runtime_metrics(telemetry)))

    def is_forked() -> bool:
        """Is called while the first thread makes the object."""
        if second.ident is None:
            second.start()
            second.join(0.2)  # it ends now only if it does not wait
        return False

    monkeypatch.setattr(metrics, "is_forked", is_forked)
    found.append(runtime_metrics(telemetry))
    second.join(20)
    assert found[0] is found[1]
    assert read(telemetry)["process_workers", ()] == 1


def test_a_catalogue_without_the_rows_is_refused() -> None:
    """Without any of the rows nothing could be observed: the error says how a catalogue gets them."""
    with pytest.raises(ValueError, match=r"^the catalogue has no row of RUNTIME: Telemetry\(Catalogue\(\[\*rows, \*RUNTIME"):
        runtime_metrics(Telemetry(Catalogue([VISITS])))


def test_rows_that_a_catalogue_lacks_are_left_out() -> None:
    """A catalogue may have some of the rows."""
    telemetry = Telemetry(Catalogue([WORKERS, EVENT_LOOP_BLOCKED]))
    metrics = runtime_metrics(telemetry)

    async def main() -> set[str]:
        with metrics.watch_loop():  # without the row of the lag
            return names(telemetry)

    assert asyncio.run(main()) == {"process_workers", "python_eventloop_blocked_seconds"}


def test_telemetries_are_not_kept_alive() -> None:
    """A telemetry whose process is observed can be collected."""
    gone = ref(observed())
    gc.collect()
    assert gone() is None


def test_a_watched_loop_has_its_lag_and_is_not_blocked() -> None:
    """While a loop is watched it shows 0 seconds; its lag is in the histogram, without samples of a loop that has ended."""
    telemetry = observed()
    lags = telemetry[EVENT_LOOP_LAG]

    async def main() -> dict[Any, float]:
        recorded = asyncio.Event()
        with runtime_metrics(telemetry).watch_loop():
            asyncio.get_running_loop().call_later(0.15, recorded.set)  # behind the first timer of the watch
            await recorded.wait()
            return read(telemetry)

    shown = asyncio.run(main())
    assert shown["python_eventloop_blocked_seconds", ()] == 0
    assert shown["python_eventloop_lag_seconds_count", ()] >= 1
    assert len(lags.series()) == 1
    assert "python_eventloop_blocked_seconds" not in names(telemetry)


def test_without_a_running_loop_there_is_nothing_to_watch() -> None:
    """``watch_loop`` outside of a loop raises what asyncio says."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        runtime_metrics(observed()).watch_loop()


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Returns a function that makes an observed worker of one run."""
    made: list[Telemetry] = []

    def make() -> Telemetry:
        made.append(observed(workers=Workers(tmp_path / "state", save_every=3600.0, timeout=5.0)))
        return made[-1]

    yield make
    for telemetry in made:
        telemetry.shutdown()


def test_living_workers_are_counted_by_slot(run: Any) -> None:
    """The workers alive, one age and one size by slot; an ended worker's disappear."""
    first, second = run(), run()
    slots = [labelled("process_worker_age_seconds", worker=slot) for slot in "01"]
    shown = read(first)
    assert shown["process_workers", ()] == 2
    assert [slot in shown for slot in slots] == [True, True]
    assert shown["process_max_fds", ()] == 2 * resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    second.shutdown()
    shown = read(first)
    assert shown["process_workers", ()] == 1
    assert [slot in shown for slot in slots] == [True, False]


def test_the_cpu_time_of_ended_workers_stays(run: Any) -> None:
    """The sum goes on with the last saved state of a worker that has left."""
    first, second = run(), run()
    before = read(first)[CPU]
    second.shutdown()
    assert read(first)[CPU] >= before


def test_a_telemetry_counts_on_from_an_earlier_one_of_its_process(run: Any) -> None:
    """A telemetry that is made after another one of the run has ended, as by a second lifespan, counts nothing again."""
    collected = labelled("python_gc_collections_total", generation="2")
    first = run()
    gc.collect()
    before = read(first)
    first.shutdown()
    shown = read(run())
    assert before[CPU] <= shown[CPU] <= time.process_time()
    assert before[collected] <= shown[collected] <= gc.get_stats()[2]["collections"]


def test_the_start_is_that_of_the_run_in_each_worker(run: Any) -> None:
    """All workers show the start of their supervisor, which is this process here, once."""
    shown = {read(each)[START] for each in (run(), run())}
    assert shown == {_process_facts()["process_start_time_seconds"]}


def test_the_start_stays_when_the_clock_is_set(run: Any, tmp_path: Path) -> None:
    """A later worker shows the start that the first one has kept, also where the kernel's time of boot has changed since."""
    first = run()
    started = next((tmp_path / "state").glob("*/started"))
    assert float(started.read_text()) == read(first)[START]
    started.write_text("1000.5")  # as the first worker would have computed it by another clock
    second = run()
    first.shutdown()
    assert read(second)[START] == 1000.5


def test_a_start_that_cannot_be_read_is_computed(run: Any, tmp_path: Path) -> None:
    """Where the file is not ours the worker computes the start itself, and counts a failure."""
    first = run()
    next((tmp_path / "state").glob("*/started")).write_text("yesterday")
    second = run()
    first.shutdown()
    shown = read(second)
    assert shown[START] == _process_facts()["process_start_time_seconds"]
    assert shown[labelled("agentos_telemetry_state_failures_total", reason="unreadable")] == 1


def test_a_forked_child_counts_for_itself(run: Any) -> None:
    """A child of a worker adds its own CPU time, slot and collections; what it inherited is not counted twice."""
    telemetry = run()
    gc.collect()
    before = read(telemetry)
    spent = before[CPU]
    collected = labelled("python_gc_collections_total", generation="2")

    def work() -> Any:
        shown = read(telemetry)
        telemetry.shutdown()
        slots = sorted(dict(labels)["worker"] for name, labels in shown if name == "process_worker_age_seconds")
        return int(shown["process_workers", ()]), slots, shown[CPU] < 2 * spent, shown[collected] < 2 * before[collected]

    assert in_child(work) == repr((2, ["0", "1"], True, True))
    after = read(telemetry)
    assert spent <= after[CPU] < 2 * spent
    assert before[collected] <= after[collected] < 2 * before[collected]


def test_a_registry_with_the_same_names_gives_way() -> None:
    """Beside prometheus_client's own collectors /metrics shows each name once, ours, and counts what it leaves out."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    telemetry = observed(registry=registry)
    body = telemetry.reader.expose().body.decode()
    assert body.count("# TYPE process_open_fds ") == body.count("# TYPE process_cpu_seconds_total ") == 1
    assert "CPU time of all workers" in body
    assert "process_virtual_memory_bytes" in body  # no row of ours
    assert read(telemetry)[labelled("agentos_telemetry_clashes_total", metric="process_open_fds")] == 1


def test_without_its_own_collectors_a_registry_shows_each_name_once() -> None:
    """Once prometheus_client's collector is unregistered nothing clashes, and the registry itself is right too."""
    registry = CollectorRegistry()
    own = ProcessCollector(registry=registry)
    registry.unregister(own)
    telemetry = observed(registry=registry)
    assert generate_latest(registry).decode().count("# TYPE process_open_fds ") == 1
    assert not [name for name, _ in read(telemetry) if name == "agentos_telemetry_clashes_total"]


def test_a_push_has_the_workers_own_values() -> None:
    """Other readers get this worker's own values."""
    pushed = InMemoryMetricReader()
    observed(metric_readers=[pushed])
    found = {name: value for name, _, value, _ in points(pushed)}
    assert found["process.workers"] == 1
    assert found["process.resident_memory"] > 2**20
    assert found["process.cpu"] > 0
