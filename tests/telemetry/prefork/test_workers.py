"""Several workers, any of which shows the totals of all."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client import generate_latest

from telemetry import Telemetry
from tests.helpers.samples import above_zero, read, samples_of
from tests.helpers.workers import ACTIVE, DEPTH, FAILURES, HIT, HITS, LEVEL, PEAK, TIME, Join, tick, vanish


def names(telemetry: Telemetry) -> list[str]:
    """The run's files, without sockets and the lock for folding."""
    assert telemetry.workers is not None
    found = sorted(path.name for path in telemetry.workers.folder.iterdir())
    return [name for name in found if not name.endswith(".sock") and name != "fold.lock"]


def test_any_worker_shows_the_total_of_all(join: Join) -> None:
    """Every worker shows the sum of all counters and histograms, also through prometheus_client."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    second[HITS].labels("x").inc(3)
    second[HITS].labels("y").inc()
    first[TIME].labels("fast").observe(0.05)
    second[TIME].labels("fast").observe(0.5)
    for worker in (first, second):
        shown = above_zero(worker)
        assert shown[HIT] == 5
        assert shown["hits_total", (("who", "y"),)] == 1
        assert [shown["time_seconds_bucket", (("how", "fast"), ("le", le))] for le in ("0.1", "1.0", "+Inf")] == [1, 2, 2]
        registered = samples_of(generate_latest(worker.registry).decode())
        assert {key: value for key, value in registered.items() if value and key[0] != "target_info"} == shown


def test_a_worker_that_ends_hands_its_totals_on(join: Join) -> None:
    """After a worker ends its counters stay, its gauges vanish, and its state becomes part of the folded one."""
    first, second = join(), join()
    for worker in (first, second):
        worker[HITS].labels("x").inc(2)
        worker[ACTIVE].inc()
    assert above_zero(second) == {HIT: 4, ("active", ()): 2}
    first.shutdown()
    assert above_zero(second) == {HIT: 4, ("active", ()): 1}
    tick(second)
    assert above_zero(second) == {HIT: 4, ("active", ()): 1}
    assert len([name for name in names(second) if name.endswith(".lock")]) == 1
    assert "folded.state" in names(second)


def test_a_killed_worker_counts_with_what_was_shown_of_it(join: Join) -> None:
    """A killed worker counts with what the last scrape showed of it; later measurements are lost."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    assert above_zero(second)[HIT] == 2
    first[HITS].labels("x").inc(5)
    vanish(first)
    assert above_zero(second)[HIT] == 2
    tick(second)
    assert above_zero(second)[HIT] == 2


def test_a_killed_worker_counts_with_what_it_saved(join: Join) -> None:
    """A killed worker counts with its last saved state, also without a scrape."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    tick(first)
    vanish(first)
    assert above_zero(second)[HIT] == 2


def test_the_scraped_worker_saves_what_it_shows_of_itself(join: Join) -> None:
    """The scraped worker saves its own part before it answers: it may be killed right after."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    assert above_zero(first)[HIT] == 2
    vanish(first)
    assert above_zero(second)[HIT] == 2


def test_totals_go_on_when_all_workers_were_killed(join: Join) -> None:
    """After all workers were killed, a new worker of the same supervisor goes on from their totals."""
    first = join()
    first[HITS].labels("x").inc(2)
    tick(first)
    vanish(first)
    second = join()
    second[HITS].labels("x").inc()
    assert above_zero(second)[HIT] == 3


def test_recycled_workers_leave_no_files(join: Join) -> None:
    """After 200 recycled workers there are the files of the living one, one folded state and the label values."""
    keeper = join()
    for _ in range(200):
        worker = join()
        worker[HITS].labels("x").inc()
        worker.shutdown()
        tick(keeper)
    assert above_zero(keeper)[HIT] == 200
    assert len(names(keeper)) == 4


def test_a_fold_that_was_interrupted_counts_once(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose files were not removed after folding counts once: the folded state names it."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    first.shutdown()
    workers: Any = second.workers
    with monkeypatch.context() as patch:
        patch.setattr(workers._files, "remove", lambda _: None)
        tick(second)
    assert above_zero(second)[HIT] == 2
    for _ in range(2):
        tick(second)
        assert above_zero(second)[HIT] == 2
    assert len([name for name in names(second) if name.endswith(".lock")]) == 1


def test_a_signal_handler_may_shut_down_while_its_thread_saves(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shutdown that interrupts the scrape of its own thread ends, and so does the scrape; what was recorded counts."""
    first, second = join(timeout=0.1), join()
    first[HITS].labels("x").inc(2)
    workers: Any = first.workers
    files = workers._files
    save = files.save
    has_ended = Event()

    def save_interrupted(*state: Any) -> bool:
        monkeypatch.setattr(files, "save", save)
        first.shutdown()
        return bool(save(*state))

    def scrape() -> None:
        first.reader.expose()
        has_ended.set()

    monkeypatch.setattr(files, "save", save_interrupted)
    Thread(target=scrape, daemon=True).start()
    assert has_ended.wait(20)
    assert above_zero(second)[HIT] == 2


def test_labels_are_bounded_over_all_workers(join: Join) -> None:
    """Two workers share the three places of a label: the fourth value is ``other`` in both."""
    first, second = join(), join()
    for worker, who in ((first, "a"), (second, "b"), (first, "c"), (second, "d"), (first, "d"), (second, "a")):
        worker[HITS].labels(who).inc()
    counted = {labels[0][1]: value for (name, labels), value in above_zero(first, "hits").items()}
    assert counted == {"a": 2, "b": 1, "c": 1, "other": 2}


def test_folded_values_keep_their_places(join: Join) -> None:
    """Label values of an ended worker keep their places: a later worker admits them, and no new ones."""
    first = join()
    for who in ("a", "b", "c"):
        first[HITS].labels(who).inc()
    first.shutdown()
    second = join()
    for who in ("d", "a"):
        second[HITS].labels(who).inc()
    tick(second)
    counted = {labels[0][1]: value for (name, labels), value in above_zero(second, "hits").items()}
    assert counted == {"a": 2, "b": 1, "c": 1, "other": 1}


def test_gauges_follow_their_rules(join: Join) -> None:
    """One gauge shows the highest value of all workers, the other one the sum, by their ``MultiprocessMode``."""
    for level in (3, 5, 4):
        worker = join()
        worker[LEVEL].watch(lambda level=level: {(): level})
        worker[ACTIVE].inc(2)
    assert above_zero(worker) == {("level_ratio", ()): 5, ("active", ()): 6}


def test_gauges_that_are_set_follow_their_rules(join: Join) -> None:
    """A gauge that each worker sets is summed, or its highest value shown, by its ``MultiprocessMode``."""
    for level in (3, 5, 4):
        worker = join()
        worker[DEPTH].set(level)
        worker[PEAK].set_function(lambda level=level: level)
    assert above_zero(worker) == {("depth", ()): 12, ("peak_bytes", ()): 5}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "torn"),
        (b"agentos-telemetry-state 2\nxxxx", "torn"),
        (b"agentos-telemetry-state 1\nxxxx", "foreign"),
        (b"something else", "foreign"),
    ],
    ids=["empty", "cut off", "of an earlier version", "foreign"],
)
@pytest.mark.parametrize("which", ["worker", "folded"])
def test_an_invalid_state_is_marked_as_corrupt_and_counted(join: Join, content: bytes, reason: str, which: str) -> None:
    """An invalid state is marked as corrupt and counted; the scrape shows the others."""
    first, second = join(), join()
    assert first.workers is not None
    vanish(first)
    name = first.workers.worker if which == "worker" else "folded"
    (first.workers.folder / f"{name}.state").write_bytes(content)
    second[HITS].labels("x").inc()
    for _ in range(2):
        shown = above_zero(second)
    assert shown == {HIT: 1, (FAILURES, (("reason", reason),)): 1}
    assert [name for name in names(second) if name.endswith(".corrupt")] != []


def test_a_state_of_another_run_is_stale(join: Join, tmp_path: Path) -> None:
    """A state of another worker or run is not shown, and is counted as ``stale``."""
    first, second = join(), join()
    first[HITS].labels("x").inc()
    tick(first)
    assert first.workers is not None
    vanish(first)
    (first.workers.folder / "folded.state").write_bytes((first.workers.folder / f"{first.workers.worker}.state").read_bytes())
    for _ in range(2):
        shown = above_zero(second)
    assert shown == {HIT: 1, (FAILURES, (("reason", "stale"),)): 1}


def test_a_disk_that_is_full_costs_nothing_that_is_alive(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """States that cannot be saved are handed out all the same, and each failure is counted."""
    first, second = join(), join()
    for worker in (first, second):
        workers: Any = worker.workers
        monkeypatch.setattr(type(workers._files), "save", lambda self, *_: self.failed("unwritable", "full") or False)
    first[HITS].labels("x").inc(2)
    above_zero(second)
    shown = above_zero(second)
    assert shown[HIT] == 2
    assert shown[FAILURES, (("reason", "unwritable"),)] == 2


def test_a_worker_shows_the_series_of_a_plain_scrape(join: Join) -> None:
    """A worker's answer has the series of a scrape without workers."""
    worker = join()
    worker[HITS].labels("x").inc()
    plain = Telemetry(worker.catalogue, resource=Resource({}))
    plain[HITS].labels("x").inc()
    assert read(worker) == read(plain)
