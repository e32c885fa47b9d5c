"""The run that workers belong to: its directory and instance id, and how workers leave it."""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path

import pytest

from telemetry import Telemetry
from telemetry.exposition import ScrapeRefusedError
from telemetry.prefork import StateDirectoryError, Supervisor, Workers
from telemetry.prefork.run_directory import open_run
from tests.helpers.otlp_receiver import receiving
from tests.helpers.samples import above_zero, samples_of
from tests.helpers.workers import HIT, HITS, Join, catalogue, tick


def test_target_info_describes_the_service(join: Join) -> None:
    """``target_info`` has the run's service.instance.id in every worker's answer."""
    ids = set()
    for worker in (join(), join()):
        samples = samples_of(worker.reader.expose().body.decode())
        ids |= {labels for name, labels in samples if name == "target_info"}
    assert len(ids) == 1
    assert dict(ids.pop())["service_instance_id"] == worker.workers.instance


def test_an_instance_id_that_is_given_is_the_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A configured service.instance.id is the run's; each worker pushes under an id derived from it."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=blue")
    workers = [Telemetry.from_environment(catalogue(), workers=Workers(tmp_path / "state")) for _ in range(2)]
    own = {str(worker.resource.attributes["service.instance.id"]) for worker in workers}
    shown = {key for worker in workers for key in samples_of(worker.reader.expose().body.decode()) if key[0] == "target_info"}
    for worker in workers:
        worker.shutdown()
    assert len(own) == 2
    assert all(one.startswith("blue-") for one in own)
    assert {dict(labels)["service_instance_id"] for _, labels in shown} == {"blue"}


def test_what_the_workers_push_adds_up_to_what_a_scrape_shows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each worker pushes its own numbers under its own instance id; a scrape shows their sum."""
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
    """A new run has later created times, so that Prometheus sees a reset; within a run the earliest start is shown."""
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
    """A new run starts at zero and removes the directory of a run whose supervisor has ended, but not of a living one."""
    alive = join()
    alive[HITS].labels("x").inc()
    assert alive.workers is not None
    gone = open_run(tmp_path / "state", Supervisor(999999999, alive.workers.folder.name.partition("-")[2]))
    (gone / "folded.state").write_bytes(b"old")
    supervisor = Supervisor(os.getpid(), "0-" + alive.workers.folder.name.split("-", 2)[2])
    other = join(supervisor=supervisor)
    assert HIT not in above_zero(other)
    assert not gone.exists()
    assert above_zero(alive)[HIT] == 1


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path, mode: int) -> None:
    """A directory that other users can enter raises ``StateDirectoryError``."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StateDirectoryError, match=r"/open must be a directory of this user with mode 0700$"):
        Workers(folder)


def test_a_directory_behind_a_link_is_refused(tmp_path: Path) -> None:
    """A symbolic link raises ``StateDirectoryError``: another user may have made it."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StateDirectoryError, match="must be a directory of this user"):
        Workers(tmp_path / "link")


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A file instead of a directory raises ``StateDirectoryError`` with the system's reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryError, match=r"/file cannot be used: File exists"):
        Workers(tmp_path / "file")


def test_what_is_written_is_private(join: Join) -> None:
    """Directories have mode 0700, files 0600."""
    worker = join()
    worker[HITS].labels("x").inc()
    tick(worker)
    assert worker.workers is not None
    folder = worker.workers.folder
    assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir() if not path.is_socket()} == {0o600}


def test_a_worker_that_left_refuses_scrapes(join: Join) -> None:
    """After ``close`` a worker refuses scrapes, because the other workers show its totals."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    assert first.workers is not None
    first.workers.close()
    tick(second)
    assert above_zero(second) == {HIT: 2}
    with pytest.raises(ScrapeRefusedError, match="this worker has left"):
        first.reader.expose()


def test_leaving_twice_is_quiet(join: Join) -> None:
    """A second ``close`` does nothing."""
    worker = join()
    worker.shutdown()
    assert worker.workers is not None
    worker.workers.close()


def test_a_process_that_proc_hides_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """``/proc`` with ``hidepid=1`` lists another user's process and refuses to show it, as ``hidepid=2`` has none of it."""

    def refused(path: Path, **_: object) -> str:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    monkeypatch.setattr(Path, "read_text", refused)
    assert Supervisor.of(os.getppid()) is None
