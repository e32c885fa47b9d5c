"""Workers as real processes: killed, stopped, forked."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader

from telemetry import Telemetry
from telemetry._base.diagnostics import Diagnostics
from telemetry.metric import Catalogue
from telemetry.prefork import Workers
from telemetry.prefork.state_directory import StateDirectory
from tests.helpers.fork import in_child
from tests.helpers.otlp_receiver import receiving
from tests.helpers.samples import above_zero, read
from tests.helpers.worker_process import WorkerProcess
from tests.helpers.workers import ACTIVE, HITS, LEVEL, TIME


def test_a_killed_process_counts_with_what_was_shown_of_it(tmp_path: Path) -> None:
    """After SIGKILL a worker counts with what the last scrape of another worker showed of it."""
    with WorkerProcess(tmp_path / "s") as first, WorkerProcess(tmp_path / "s") as second:
        first.tell("hit", "x", 3)
        assert second.hits() == {"x": 3}
        first.tell("hit", "x", 4)
        first.kill()
        assert second.hits() == {"x": 3}


def test_a_stopped_process_counts_with_what_was_shown_of_it(tmp_path: Path) -> None:
    """A stopped worker counts with what was last shown of it; after SIGCONT scrapes show all of it again."""
    with WorkerProcess(tmp_path / "s") as first, WorkerProcess(tmp_path / "s", timeout=0.1) as second:
        first.tell("hit", "x", 3)
        assert second.hits() == {"x": 3}
        first.tell("hit", "x", 4)
        first.signal(signal.SIGSTOP)
        assert second.hits() == {"x": 3}
        first.signal(signal.SIGCONT)
        while (shown := second.hits()) == {"x": 3}:
            pass  # each scrape asks the worker again
        assert shown == {"x": 7}


def test_a_stopped_process_does_not_keep_others_from_folding(tmp_path: Path) -> None:
    """While a worker is stopped, running workers fold the ended ones."""
    with (
        WorkerProcess(tmp_path / "s", timeout=0.1) as first,
        WorkerProcess(tmp_path / "s", save_every=0.05, timeout=0.1) as second,
    ):
        first.signal(signal.SIGSTOP)
        with WorkerProcess(tmp_path / "s") as third:
            third.tell("hit", "x", 5)
            assert second.hits() == {"x": 5}
        run = next((tmp_path / "s").iterdir())
        while len(list(run.glob("*-*.lock"))) > 2:
            pass  # the next tick folds it
        assert second.hits() == {"x": 5}


def test_a_child_that_was_forked_during_a_fold_does_not_keep_others_from_folding(tmp_path: Path) -> None:
    """A child has the descriptors of what its parent's thread is at: the fold ends with the parent's, not with the child."""
    files = StateDirectory(tmp_path, Diagnostics())
    waits, ends = os.pipe()
    with files.folding() as locked:
        assert locked
        if (child := os.fork()) == 0:
            os.close(ends)
            os.read(waits, 1)
            os._exit(0)
    try:
        with files.folding() as locked:
            assert locked
    finally:
        os.close(ends)
        os.waitpid(child, 0)
        os.close(waits)


def test_a_process_killed_between_scrapes_counts_with_its_last_save(tmp_path: Path) -> None:
    """After SIGKILL without a scrape a worker counts with the state that it saved by itself."""
    with WorkerProcess(tmp_path / "s", save_every=0.02) as first, WorkerProcess(tmp_path / "s") as second:
        first.tell("hit", "x", 3)
        run = next((tmp_path / "s").iterdir())
        before = {path: path.stat().st_ino for path in run.glob(f"{first.pid}-*.state")}
        for _ in range(2):  # the save that was under way, and one after it
            while {path: path.stat().st_ino for path in run.glob(f"{first.pid}-*.state")} == before:
                pass
            before = {path: path.stat().st_ino for path in run.glob(f"{first.pid}-*.state")}
        first.kill()
        assert second.hits() == {"x": 3}


def test_a_forked_process_is_a_worker_of_its_own(tmp_path: Path) -> None:
    """A forked child starts empty, and its totals stay after it ends; its parent counts on."""
    with WorkerProcess(tmp_path / "s") as first, WorkerProcess(tmp_path / "s") as second:
        first.tell("hit", "x", 3)
        first.tell("fork")
        assert (first.hits(), second.hits()) == ({"x": 103}, {"x": 103})
        first.tell("hit", "x", 1)
        first.tell("fork")
        assert (first.hits(), second.hits()) == ({"x": 204}, {"x": 204})


def test_a_forked_child_starts_empty() -> None:
    """In a forked child all counters are 0, for all readers; handles bound before the fork record into the child's series."""
    other = InMemoryMetricReader()
    telemetry = Telemetry(Catalogue([HITS, TIME, ACTIVE, LEVEL]), metric_readers=[other])
    hits = telemetry[HITS].labels("x")
    hits.inc(5)
    telemetry[TIME].labels("fast").observe(0.5)

    def work() -> object:
        start = read(telemetry)["hits_total", (("who", "x"),)]
        hits.inc(2)
        data = other.get_metrics_data()
        pushed = {m.name: m.data.data_points for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics}
        return start, above_zero(telemetry), pushed["hits"][0].value

    assert in_child(work) == repr((0, {("hits_total", (("who", "x"),)): 2}, 2))
    assert above_zero(telemetry, "hits") == {("hits_total", (("who", "x"),)): 5}


def test_a_forked_child_that_cannot_join_leaves_its_parent_alone(tmp_path: Path) -> None:
    """A forked child that cannot join (full disk) shows its own numbers and leaves its parent's state alone."""
    telemetry = Telemetry(Catalogue([HITS]), workers=Workers(tmp_path / "s", save_every=3600))
    telemetry[HITS].labels("x").inc(5)
    assert telemetry.workers is not None
    files = telemetry.workers._files

    def refuse() -> object:
        raise OSError(28, "No space left on device")

    def work() -> object:
        telemetry[HITS].labels("x").inc(2)
        return above_zero(telemetry, "hits")

    files.new_worker = refuse  # type: ignore[assignment]  # in this process and the one it forks
    try:
        assert in_child(work) == repr({("hits_total", (("who", "x"),)): 7})
        assert above_zero(telemetry, "hits") == {("hits_total", (("who", "x"),)): 5}
    finally:
        telemetry.shutdown()


def test_a_forked_child_has_export_threads_and_an_instance_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked child pushes its own counts, under another service.instance.id than its parent."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
        telemetry = Telemetry.from_environment(Catalogue([HITS]))
        telemetry[HITS].labels("x").inc(5)
        if (child := os.fork()) == 0:
            telemetry[HITS].labels("x").inc(2)
            signal.pause()
        seen: dict[str, int] = {}
        while len(seen) < 2 or 2 not in seen.values():
            sent = receiver.metrics.get(timeout=30).resource_metrics[0]
            instance = {a.key: a.value.string_value for a in sent.resource.attributes}["service.instance.id"]
            seen[instance] = sent.scope_metrics[0].metrics[0].sum.data_points[0].as_int
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert sorted(seen.values()) == [2, 5]
        assert any(isinstance(r, PeriodicExportingMetricReader) for r in telemetry.meter_provider._metric_readers)
        telemetry.shutdown()
