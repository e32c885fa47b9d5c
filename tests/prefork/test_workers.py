"""Several workers, any of which shows the totals of all."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client import generate_latest

from telemetry import Telemetry
from telemetry.prefork import StateDirectoryError, Supervisor, Workers
from tests.prefork.conftest import ACTIVE, HITS, LEVEL, TIME, Join, catalogue
from tests.telemetry.conftest import above_zero, read, samples_of
from tests.telemetry.otlp_receiver import receiving

HIT = ("hits_total", (("who", "x"),))
FAILURES = "agentos_telemetry_state_failures_total"


def vanish(telemetry: Telemetry) -> None:
    """End as a process that is killed does: nothing is saved, the lock is gone."""
    workers: Any = telemetry.workers
    workers._doorbell.stop()
    workers._lock.release()
    workers._joined = False


def tick(telemetry: Telemetry) -> None:
    """What happens every second."""
    workers: Any = telemetry.workers
    workers._tick()


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


def test_target_info_describes_the_service(join: Join) -> None:
    """One service.instance.id of the run in every worker's answer."""
    ids = set()
    for worker in (join(), join()):
        samples = samples_of(worker.reader.expose().body.decode())
        ids |= {labels for name, labels in samples if name == "target_info"}
    assert len(ids) == 1
    assert dict(ids.pop())["service_instance_id"] == worker.workers.instance


def test_an_instance_id_that_is_given_is_the_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What each worker pushes has one made from it."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=blue")
    workers = [Telemetry.from_environment(workers=Workers(tmp_path / "state")) for _ in range(2)]
    own = {str(worker.resource.attributes["service.instance.id"]) for worker in workers}
    shown = {key for worker in workers for key in samples_of(worker.reader.expose().body.decode()) if key[0] == "target_info"}
    for worker in workers:
        worker.shutdown()
    assert len(own) == 2
    assert all(one.startswith("blue-") for one in own)
    assert {dict(labels)["service_instance_id"] for _, labels in shown} == {"blue"}


def test_what_the_workers_push_adds_up_to_what_a_scrape_shows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each pushes its own numbers under its own instance id."""
    with receiving() as receiver:
        for name, value in (("ENDPOINT", receiver.url), ("PROTOCOL", "http/protobuf")):
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
        workers = [Telemetry.from_environment(catalogue(), workers=Workers(tmp_path / "state")) for _ in range(3)]
        for n, worker in enumerate(workers, 1):
            worker[HITS].labels("x").inc(n)
        shown = above_zero(workers[0])
        for worker in workers:
            worker.shutdown()
        pushed: dict[str, int] = {}
        for _ in workers:
            sent = receiver.metrics.get(timeout=30).resource_metrics[0]
            instance = {a.key: a.value.string_value for a in sent.resource.attributes}["service.instance.id"]
            (hits,) = (m for m in sent.scope_metrics[0].metrics if m.name == "hits")
            pushed[instance] = hits.sum.data_points[0].as_int
    assert sorted(pushed.values()) == [1, 2, 3]
    assert shown == {HIT: sum(pushed.values())}


def test_another_run_has_created_times_of_its_own(tmp_path: Path) -> None:
    """Prometheus sees a counter that starts anew, not one that fell; within a run the earliest start is shown."""
    created = []
    for run in ("a", "b"):
        first = Telemetry(catalogue(), created=True, workers=Workers(tmp_path / run))
        first[HITS].labels("x").inc()
        before = time.time()
        second = Telemetry(catalogue(), created=True, workers=Workers(tmp_path / run))
        second[HITS].labels("x").inc()
        body = second.reader.expose("application/openmetrics-text").body.decode()
        (start,) = re.findall(r'^hits_created\{who="x"\} (\S+)$', body, re.MULTILINE)
        assert float(start) <= before
        created.append(float(start))
        for worker in (first, second):
            worker.shutdown()
    assert created[0] < created[1]


def test_another_run_starts_from_zero_and_clears_up(join: Join, tmp_path: Path) -> None:
    """The directory of a run whose supervisor is gone is removed; one that lives is left alone."""
    alive = join()
    alive[HITS].labels("x").inc()
    assert alive.workers is not None
    gone = alive.workers.folder.with_name(alive.workers.folder.name.replace(str(os.getpid()), "999999999", 1))
    gone.mkdir(mode=0o700)
    (gone / "folded.state").write_bytes(b"old")
    supervisor = Supervisor(os.getpid(), "0-" + alive.workers.folder.name.split("-", 2)[2])
    other = join(supervisor=supervisor)
    assert HIT not in above_zero(other)
    assert not gone.exists()
    assert above_zero(alive)[HIT] == 1


def test_read_only_what_is_there_is_shown(join: Join) -> None:
    """A worker's answer holds every series of a plain scrape."""
    worker = join()
    worker[HITS].labels("x").inc()
    plain = Telemetry(worker.catalogue, resource=Resource({}))
    plain[HITS].labels("x").inc()
    assert read(worker) == read(plain)


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path, mode: int) -> None:
    """The start stops with one sentence."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StateDirectoryError, match=r"/open must be a directory of this user with mode 0700$"):
        Workers(folder)


def test_a_directory_behind_a_link_is_refused(tmp_path: Path) -> None:
    """Somebody else may have made the link."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StateDirectoryError, match="must be a directory of this user"):
        Workers(tmp_path / "link")


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """With the system's own reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryError, match=r"/file cannot be used: File exists"):
        Workers(tmp_path / "file")


def test_what_is_written_is_private(join: Join) -> None:
    """Directories 0700, files 0600."""
    worker = join()
    worker[HITS].labels("x").inc()
    tick(worker)
    assert worker.workers is not None
    folder = worker.workers.folder
    assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir() if not path.is_socket()} == {0o600}


def test_leaving_twice_is_quiet(join: Join) -> None:
    """A second shutdown does nothing."""
    worker = join()
    worker.shutdown()
    assert worker.workers is not None
    worker.workers.close()
