"""Several workers, any of which shows the totals of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client import generate_latest

from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.catalogue_models import MODELS
from telemetry.prefork import Workers
from tests.helpers.samples import above_zero, read, samples_of
from tests.helpers.workers import ACTIVE, FAILURES, HIT, HITS, LEVEL, TIME, Join, tick, vanish


def names(telemetry: Telemetry) -> list[str]:
    """The run's files but for sockets and the fold's lock."""
    assert telemetry.workers is not None
    found = sorted(path.name for path in telemetry.workers.folder.iterdir())
    return [name for name in found if not name.endswith(".sock") and name != "fold.lock"]


def test_any_worker_shows_the_total_of_all(join: Join) -> None:
    """Counters and histograms add up, in both formats and for prometheus_client."""
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
    """Its counters stay, its gauges vanish, and its files become part of one."""
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
    """What a scrape has served is never lost; what came after it and the last save is."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    assert above_zero(second)[HIT] == 2
    first[HITS].labels("x").inc(5)
    vanish(first)
    assert above_zero(second)[HIT] == 2
    tick(second)
    assert above_zero(second)[HIT] == 2


def test_a_killed_worker_counts_with_what_it_saved(join: Join) -> None:
    """Without any scrape in between."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    tick(first)
    vanish(first)
    assert above_zero(second)[HIT] == 2


def test_the_scraped_worker_saves_what_it_shows_of_itself(join: Join) -> None:
    """It may be killed right after its answer."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    assert above_zero(first)[HIT] == 2
    vanish(first)
    assert above_zero(second)[HIT] == 2


def test_totals_go_on_when_all_workers_were_killed(join: Join) -> None:
    """As long as their supervisor lives."""
    first = join()
    first[HITS].labels("x").inc(2)
    tick(first)
    vanish(first)
    second = join()
    second[HITS].labels("x").inc()
    assert above_zero(second)[HIT] == 3


def test_nothing_piles_up_over_many_recycled_workers(join: Join) -> None:
    """After two hundred workers there are the files of the living one, one folded state and the list of labels."""
    keeper = join()
    for _ in range(200):
        worker = join()
        worker[HITS].labels("x").inc()
        worker.shutdown()
        tick(keeper)
    assert above_zero(keeper)[HIT] == 200
    assert len(names(keeper)) == 4


def test_a_fold_that_was_interrupted_counts_once(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folded state names those whose files it could not remove any more."""
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


def test_labels_are_bounded_over_all_workers(join: Join) -> None:
    """Three places for two workers: the fourth value is other in both, whoever met it."""
    first, second = join(), join()
    for worker, who in ((first, "a"), (second, "b"), (first, "c"), (second, "d"), (first, "d"), (second, "a")):
        worker[HITS].labels(who).inc()
    counted = {labels[0][1]: value for (name, labels), value in above_zero(first, "hits").items()}
    assert counted == {"a": 2, "b": 1, "c": 1, "other": 2}


def test_folded_values_keep_their_places(join: Join) -> None:
    """A worker that starts later admits what the folded state has, and nothing beyond."""
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
    """The highest level, the sum of what is active."""
    for level in (3, 5, 4):
        worker = join()
        worker[LEVEL].watch(lambda level=level: {(): level})
        worker[ACTIVE].inc(2)
    assert above_zero(worker) == {("level_ratio", ()): 5, ("active", ()): 6}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "torn"), (b"agentos-telemetry-state 1\nxxxx", "torn"), (b"something else", "foreign")],
    ids=["empty", "cut off", "foreign"],
)
@pytest.mark.parametrize("which", ["worker", "folded"])
def test_a_state_that_is_none_is_set_aside_and_counted(join: Join, content: bytes, reason: str, which: str) -> None:
    """It is neither served nor fatal."""
    first, second = join(), join()
    assert first.workers is not None
    vanish(first)
    name = first.workers.worker if which == "worker" else "folded"
    (first.workers.folder / f"{name}.state").write_bytes(content)
    second[HITS].labels("x").inc()
    for _ in range(2):
        shown = above_zero(second)
    assert shown == {HIT: 1, (FAILURES, (("reason", reason),)): 1}
    assert [name for name in names(second) if name.endswith(".aside")] != []


def test_a_state_of_another_run_is_stale(join: Join, tmp_path: Path) -> None:
    """A copied file counts nowhere."""
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
    """States cannot be saved, are counted as such, and are handed out all the same."""
    first, second = join(), join()
    for worker in (first, second):
        workers: Any = worker.workers
        monkeypatch.setattr(type(workers._files), "save", lambda self, *_: self.failed("unwritable", "full") or False)
    first[HITS].labels("x").inc(2)
    above_zero(second)
    shown = above_zero(second)
    assert shown[HIT] == 2
    assert shown[FAILURES, (("reason", "unwritable"),)] == 2


def test_read_only_what_is_there_is_shown(join: Join) -> None:
    """A worker's answer holds every series of a plain scrape."""
    worker = join()
    worker[HITS].labels("x").inc()
    plain = Telemetry(worker.catalogue, resource=Resource({}))
    plain[HITS].labels("x").inc()
    assert read(worker) == read(plain)


def test_workers_agree_on_a_breaker(tmp_path: Path) -> None:
    """The provider that one of them has given up is shown as open by both: the highest state counts."""
    workers = [AgentOSTelemetry(MODELS, workers=Workers(tmp_path / "state")) for _ in range(2)]
    for worker, state in zip(workers, ("open", "closed"), strict=True):
        worker.recorder.models.record_breaker("swift", state)
    shown = [read(worker)["ccr_breaker_state", (("provider", "swift"),)] for worker in workers]
    for worker in workers:
        worker.shutdown()
    assert shown == [2, 2]
