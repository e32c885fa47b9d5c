"""Real faults of the state directory: full, read-only, removed."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from telemetry.prefork import StateDirectoryError, Workers
from tests.helpers.samples import above_zero
from tests.helpers.worker_process import WorkerProcess
from tests.helpers.workers import FAILURES, HIT, HITS, Join, tick, vanish

Mount = Callable[..., None]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a file system of 256 kB at the state directory; a call mounts it again with other options."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)

    def call(*options: str) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"a file system can only be mounted by root: {done.stderr.strip()}")

    call("size=256k", "mode=0700")
    yield call
    subprocess.run(["umount", "--lazy", folder], check=True)


def unwritable(shown: dict[object, float]) -> bool:
    """Whether a failed save was counted."""
    return shown.get((FAILURES, (("reason", "unwritable"),)), 0) > 0


def test_living_workers_are_shown_from_a_full_disk(join: Join, mount: Mount, tmp_path: Path) -> None:
    """On a full disk workers hand out states that they could not save; with free space they save them again."""
    first, second = join(), join()
    first[HITS].labels("x").inc()
    with pytest.raises(OSError, match="No space left"), (tmp_path / "state" / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))
    first[HITS].labels("x").inc()
    above_zero(second)
    shown = above_zero(second)
    assert shown[HIT] == 2
    assert unwritable(shown)
    (tmp_path / "state" / "ballast").unlink()
    assert above_zero(second)[HIT] == 2
    vanish(first)
    assert above_zero(second)[HIT] == 2


def test_a_read_only_disk_stops_the_start(mount: Mount, tmp_path: Path) -> None:
    """A read-only disk raises an error that names it. A disk cannot become read-only while workers have open files."""
    mount("remount", "ro")
    with pytest.raises(StateDirectoryError, match=r"/state cannot be used: Read-only file system$"):
        Workers(tmp_path / "state")


def test_a_state_that_cannot_be_written_costs_new_values_their_series(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk becomes unwritable, known series count on, and new label values become ``other``."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    assert above_zero(second) == {HIT: 2}

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        patch.setattr(Path, "replace", refuse)
        first[HITS].labels("x").inc(3)
        second[HITS].labels("y").inc()
        above_zero(second)
        shown = above_zero(second)
    assert {HIT: shown[HIT], "other": shown["hits_total", (("who", "other"),)]} == {HIT: 5, "other": 1}
    assert unwritable(shown)
    tick(first)
    vanish(first)
    assert above_zero(second)[HIT] == 5


def test_a_worker_whose_directory_is_gone_shows_itself(join: Join) -> None:
    """After the directory was removed a worker shows its own numbers, raises nothing, and counts the failures."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    second[HITS].labels("x").inc(3)
    assert first.workers is not None
    shutil.rmtree(first.workers.folder)
    above_zero(second)
    shown = above_zero(second)
    assert shown[HIT] == 3
    assert unwritable(shown)
    tick(second)


def test_a_clock_that_jumps_changes_nothing(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jump of the wall clock loses no count: timeouts use the monotonic clock, and locks tell which workers are alive."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    assert above_zero(second)[HIT] == 2
    for jump in (-(10**9), 10**9):
        now = time.time()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda now=now, jump=jump: now + jump)
            patch.setattr(time, "time_ns", lambda now=now, jump=jump: int((now + jump) * 1e9))
            first[HITS].labels("x").inc()
            tick(first)
            tick(second)
            third = join()
            third[HITS].labels("x").inc()
            third.shutdown()
            above_zero(second)
    assert above_zero(second)[HIT] == 6


LABELS = {
    "cut off": lambda path: os.truncate(path, 3),
    "empty": lambda path: os.truncate(path, 0),
    "other bytes": lambda path: path.write_bytes(b"\0" * 5000),
    "removed": lambda path: path.unlink(),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("change", LABELS.values(), ids=LABELS.keys())
def test_a_broken_list_of_label_values_stops_no_saving(join: Join, change: Callable[[Path], object]) -> None:
    """After the list of label values was broken a worker saves its state as before, scrapes show all, and it is counted."""
    first, second = join(), join()
    first[HITS].labels("x").inc(2)
    assert first.workers is not None
    change(first.workers.folder / "labels")
    first[HITS].labels("x").inc()
    tick(first)
    tick(second)
    vanish(first)
    above_zero(second)
    shown = above_zero(second)
    assert shown[HIT] == 3
    assert {key: value for key, value in shown.items() if key[0] == FAILURES} != {}
    second[HITS].labels("y").inc()
    assert above_zero(second)["hits_total", (("who", "y"),)] == 1


@contextmanager
def without_descriptors() -> Iterator[None]:
    """Uses up the descriptors of this process."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = [os.open("/", os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1, old[1]))
    with suppress(OSError):
        while True:
            used.append(os.open("/", os.O_RDONLY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
        for descriptor in used:
            os.close(descriptor)


def test_without_descriptors_a_scrape_shows_what_was_read_last(join: Join) -> None:
    """Without free descriptors a scrape shows this worker's numbers and the last ones of the others, none of which fall."""
    first, second, third = join(), join(), join()
    for worker in (first, second, third):
        worker[HITS].labels("x").inc()
    first.shutdown()
    tick(second)
    assert above_zero(second)[HIT] == 3
    second[HITS].labels("x").inc()
    with without_descriptors():
        found = [above_zero(second)[HIT] for _ in range(3)]
        tick(second)
        tick(third)
    assert found == [4, 4, 4]
    third.shutdown()
    tick(second)
    shown = above_zero(second)
    assert shown[HIT] == 4
    assert shown[FAILURES, (("reason", "unreadable"),)] > 0


@pytest.mark.parametrize("which", ["worker", "folded"])
def test_a_state_that_cannot_be_read_now_is_not_given_up(join: Join, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """A state that cannot be opened while ended workers are folded stays, and is folded once it can be read."""
    first, second, third = join(), join(), join()
    for worker in (first, second, third):
        worker[HITS].labels("x").inc()
    second.shutdown()
    if which == "folded":
        tick(third)
    first.shutdown()
    with monkeypatch.context() as patch:

        def refuse(path: Path) -> bytes:
            raise OSError(errno.EMFILE, "Too many open files")

        patch.setattr("telemetry.prefork.state_directory._read", refuse)
        files = third.workers._files  # type: ignore[union-attr]  # given
        files._folded = (None, None)
        tick(third)
    tick(third)
    assert above_zero(third)[HIT] == 3


def test_a_client_that_cannot_be_accepted_is_answered_later(tmp_path: Path) -> None:
    """Without free descriptors a worker does not answer, and its last state is shown; with some it answers again."""
    with WorkerProcess(tmp_path / "s") as first, WorkerProcess(tmp_path / "s", timeout=0.1) as second:
        first.tell("hit", "x", 3)
        assert second.hits() == {"x": 3}
        soft, hard = resource.prlimit(first.pid, resource.RLIMIT_NOFILE)
        used = {int(path.name) for path in Path(f"/proc/{first.pid}/fd").iterdir()}
        lowest = next(number for number in range(len(used) + 1) if number not in used)
        resource.prlimit(first.pid, resource.RLIMIT_NOFILE, (lowest, hard))
        first.tell("hit", "x", 1)
        assert second.hits() == {"x": 3}
        resource.prlimit(first.pid, resource.RLIMIT_NOFILE, (soft, hard))
        while (shown := second.hits()) == {"x": 3}:
            pass  # each scrape asks the worker again
        assert shown == {"x": 4}
