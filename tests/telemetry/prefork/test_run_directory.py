"""Directories of runs: what a start removes, what it leaves alone, and what it says about both."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import pytest

from telemetry._base.file_lock import lock_file
from telemetry.prefork import StateDirectoryError, Supervisor, Workers
from telemetry.prefork.run import place
from telemetry.prefork.run_directory import open_run
from telemetry.prefork.state_directory import MARKER

ENDED = Supervisor(999999999, f"1-{place()}")
ELSEWHERE = Supervisor(999999999, "1-0123abcd-4026531000")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A private directory for states."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


def start(state: Path) -> Path:
    """Does what a service does at its start; returns its run's directory."""
    return open_run(state, Supervisor.of_this_process())


def ended(state: Path, supervisor: Supervisor = ENDED) -> Path:
    """A run with the files of a worker, whose supervisor has ended."""
    run = open_run(state, supervisor)
    worker = "7-1a-0123abcd"
    for name in (
        f"{worker}.lock",
        f"{worker}.state",
        "folded.state",
        "labels",
        "ledger",
        "ledger-wal",
        "folded.state.0123abcd.corrupt",
        "slot-0.lock",
        "started",
    ):
        (run / name).write_bytes(b"")
    os.mknod(run / f"{worker}.sock", stat.S_IFSOCK | 0o600)  # a path that is too long to bind
    return run


def tree(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every path below a directory with its mode and its content."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None)
        for path in (folder, *folder.rglob("*"))
    }


def test_an_ended_run_is_removed_and_named_in_the_log(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A start removes the directory of an ended run, sockets included, and logs its path and the number of its files."""
    run = ended(state)
    own = start(state)
    assert list(state.iterdir()) == [own]
    assert caplog.messages == [f"removed {run}, the state of an ended run: 11 files"]


def test_a_run_has_its_marker(state: Path) -> None:
    """A run's directory has a marker that only its user can read."""
    marker = start(state) / MARKER
    assert marker.read_text().splitlines()[0] == "agentos-telemetry-run 1"
    assert marker.stat().st_mode & 0o777 == 0o600


def _dated(state: Path) -> None:
    (state / "2024-01-15").mkdir()
    (state / "2024-01-15" / "invoice").write_text("x")


def _named_as_a_run(state: Path) -> None:
    (state / ENDED.run).mkdir(mode=0o700)
    (state / ENDED.run / "labels").write_text("x")


def _empty(state: Path) -> None:
    (state / ENDED.run).mkdir(mode=0o700)


def _other_marker(content: bytes) -> Callable[[Path], None]:
    def make(state: Path) -> None:
        (ended(state) / MARKER).write_bytes(content)

    return make


def _link_to_a_run(state: Path) -> None:
    ended(state).rename(state / "mine")
    (state / ENDED.run).symlink_to(state / "mine")


def _linked_marker(state: Path) -> None:
    run = ended(state)
    (run / MARKER).rename(state / "elsewhere")
    (run / MARKER).symlink_to(state / "elsewhere")


def _marker_is_a_pipe(state: Path) -> None:
    run = ended(state)
    (run / MARKER).unlink()
    os.mkfifo(run / MARKER)


def _marker_is_a_directory(state: Path) -> None:
    run = ended(state)
    (run / MARKER).unlink()
    (run / MARKER).mkdir()


def _renamed(name: str) -> Callable[[Path], None]:
    def make(state: Path) -> None:
        ended(state).rename(state / name)

    return make


def _a_file(state: Path) -> None:
    (state / ENDED.run).write_text("x")


def _a_git_checkout(state: Path) -> None:
    (state / ".git" / "refs").mkdir(parents=True)
    (state / "4711-1-2-3").mkdir()
    (state / "yarn.lock").write_text("x")
    (state / "1-2.tmp").write_text("x")


FOREIGN = {
    "a directory with a date": _dated,
    "a run's name without marker": _named_as_a_run,
    "an empty directory with a run's name": _empty,
    "an empty marker": _other_marker(b""),
    "a marker of a later version": _other_marker(b"agentos-telemetry-run 2\n"),
    "a longer marker": _other_marker(b"agentos-telemetry-run 1\nMade by AgentOS telemetry, and more"),
    "a symbolic link to a run": _link_to_a_run,
    "a marker behind a link": _linked_marker,
    "a pipe as marker": _marker_is_a_pipe,
    "a directory as marker": _marker_is_a_directory,
    "a run that was renamed": _renamed("backup"),
    "a name with more behind it": _renamed(f"{ENDED.run}-old"),
    "a name with less": _renamed("999999999"),
    "letters in the name": _renamed(f"x{ENDED.run}"),
    "digits of another script": _renamed(f"٣-1-{place()}"),
    "a file with a run's name": _a_file,
    "a checkout": _a_git_checkout,
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_not_certainly_ours_is_left_alone(state: Path, make: Callable[[Path], None]) -> None:
    """A start neither removes nor changes anything without a run's name, the marker of this version and this owner."""
    make(state)
    before = tree(state)
    own = start(state)
    shutil.rmtree(own)
    assert tree(state) == before


def test_a_directory_of_another_version_is_told_once(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A start names the directories that look like runs and have no marker, in one line."""
    _named_as_a_run(state)
    start(state)
    assert caplog.messages == [f"left alone in {state}, without the marker of this version: {ENDED.run}"]


def test_a_directory_of_another_user_stays(state: Path) -> None:
    """A run of another user is not removed, whatever its marker says."""
    if os.getuid():
        pytest.skip("only root can give files away")
    run = ended(state)
    os.chown(run, 12345, 12345)
    before = tree(run)
    start(state)
    assert tree(run) == before


def test_a_marker_of_another_user_is_none(state: Path) -> None:
    """A marker that another user has put in does not make the directory ours."""
    if os.getuid():
        pytest.skip("only root can give files away")
    run = ended(state)
    os.chown(run / MARKER, 12345, 12345)
    before = tree(run)
    start(state)
    assert tree(run) == before


@pytest.mark.parametrize("name", ["notes.txt", "yarn.lock", "1-2.tmp", "x.state", ".labels", "labels.bak"])
def test_a_foreign_file_in_a_run_stays(state: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is not ours stays, with the directory and its marker, and is named in the log."""
    run = ended(state)
    (run / name).write_text("x")
    start(state)
    assert {path.name for path in run.iterdir()} == {name, MARKER}
    assert (run / name).read_text() == "x"
    assert caplog.messages[-1] == f"left in {state}, because the files in it are not ours: {run.name} ({name})"


def test_a_link_in_a_run_is_not_followed(state: Path, tmp_path: Path) -> None:
    """A symbolic link in a run, and what it points to, stay."""
    (tmp_path / "precious").write_text("x")
    run = ended(state)
    (run / "labels").unlink()
    (run / "labels").symlink_to(tmp_path / "precious")
    (run / "9-1a-0123abcd.state").mkdir()
    start(state)
    assert (tmp_path / "precious").read_text() == "x"
    assert {path.name for path in run.iterdir()} == {"labels", "9-1a-0123abcd.state", MARKER}


@pytest.mark.parametrize("supervisor", [ENDED, ELSEWHERE], ids=["ended", "in another container"])
def test_a_run_with_a_living_worker_stays(state: Path, supervisor: Supervisor) -> None:
    """While a worker holds its lock its run stays, also when its supervisor has ended and nothing has changed for a day."""
    run = ended(state, supervisor)
    lock = lock_file(run / "7-1a-0123abcd.lock")
    assert lock is not None
    for path in (*run.iterdir(), run):
        os.utime(path, (0, 0))
    before = tree(run)
    start(state)
    assert tree(run) == before
    lock.release()
    for path in (*run.iterdir(), run):
        os.utime(path, (0, 0))
    start(state)
    assert not run.exists()


def test_a_run_elsewhere_is_removed_after_an_hour(state: Path) -> None:
    """A run in another container is removed when nothing in it has changed for an hour, and not before."""
    run = ended(state, ELSEWHERE)
    start(state)
    assert run.exists()
    for path in (*run.iterdir(), run):
        os.utime(path, (0, 0))
    start(state)
    assert not run.exists()


def test_a_run_whose_making_was_broken_off_is_removed(state: Path) -> None:
    """The temporary directory of a process that was killed while it made a run is removed, that of a living one is not."""
    made = start(state)
    killed, living = (state / f"{made.name}.{pid}-0123abcd.new" for pid in (999999999, os.getpid()))
    shutil.copytree(made, killed)
    shutil.copytree(made, living)
    start(state)
    assert (killed.exists(), living.exists()) == (False, True)


def test_an_empty_directory_of_a_broken_off_start_is_removed(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that was killed before it had written the marker leaves an empty directory; one with a file in it stays."""
    made = start(state)
    empty, other = (state / f"{made.name}.{pid}-0123abcd.new" for pid in (999999999, 999999998))
    empty.mkdir(mode=0o700)
    other.mkdir(mode=0o700)
    (other / "mine").write_text("x")
    start(state)
    assert (empty.exists(), (other / "mine").read_text()) == (False, "x")
    assert caplog.messages == [f"left alone in {state}, without the marker of this version: {other.name}"]


def test_many_starts_at_once_remove_and_make_the_same(state: Path) -> None:
    """Eight starts at the same time remove the ended run, agree on their own one, and none fails."""
    for _ in range(20):
        ended(state)
        barrier, found = Barrier(8), []

        def one(barrier: Barrier = barrier, found: list[Path] = found) -> None:
            barrier.wait()
            found.append(start(state))

        threads = [Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert list(state.iterdir()) == [found[0]]
        shutil.rmtree(found[0])


def test_a_full_disk_leaves_no_directory_behind(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose marker cannot be written is not made; where the run is there already, its next worker starts all the same."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda _file, data: len(data) - 1)
        with pytest.raises(StateDirectoryError, match=r"cannot be used: No space left on device$"):
            start(state)
        assert list(state.iterdir()) == []
    run = start(state)
    monkeypatch.setattr(os, "write", lambda _file, data: len(data) - 1)
    assert start(state) == run


def test_a_run_of_an_older_version_that_goes_on_gets_a_marker(state: Path) -> None:
    """Where the directory of this run has only our files, a worker of this version joins it and marks it."""
    run = start(state)
    marker = (run / MARKER).read_bytes()
    for unmarked in (lambda: (run / MARKER).unlink(), lambda: (run / MARKER).write_bytes(b"")):
        unmarked()
        (run / "7-0123abcd.state").write_bytes(b"")
        start(state)
        assert (run / MARKER).read_bytes() == marker


def test_a_directory_with_this_runs_name_that_is_not_ours_is_refused(state: Path) -> None:
    """A directory with the name of this run that holds something else raises ``StateDirectoryError`` and stays as it is."""
    run = start(state)
    (run / MARKER).unlink()
    (run / "notes.txt").write_text("x")
    before = tree(state)
    with pytest.raises(StateDirectoryError, match=r"has the name of this run, and holds what is not ours: notes.txt$"):
        start(state)
    assert tree(state) == before


def test_this_run_with_the_marker_of_another_version_is_refused(state: Path) -> None:
    """A directory with the name of this run and another version's marker raises ``StateDirectoryError`` and stays as it is."""
    run = start(state)
    (run / MARKER).write_bytes(b"agentos-telemetry-run 2\n")
    before = tree(state)
    with pytest.raises(StateDirectoryError, match=r"has the name of this run, and the marker of another version$"):
        start(state)
    assert tree(state) == before


@pytest.mark.parametrize("directory", ["/", "/tmp", "/usr"])
def test_a_directory_of_the_system_is_refused(directory: str) -> None:
    """A directory that others can enter is refused, and its mode stays."""
    mode = Path(directory).stat().st_mode
    with pytest.raises(StateDirectoryError, match=r"must be a directory of this user with mode 0700$"):
        Workers(Path(directory))
    assert Path(directory).stat().st_mode == mode
