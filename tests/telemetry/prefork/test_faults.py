"""Real faults of the directory that the states are in: full, read-only, gone."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry.prefork import StateDirectoryError, Workers
from tests.helpers.samples import above_zero
from tests.helpers.workers import FAILURES, HIT, HITS, Join, tick, vanish

Mount = Callable[..., None]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """A file system of 256 kB where the states are; called again, mounts it with other options."""
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
    """Whether a state could not be saved."""
    return shown.get((FAILURES, (("reason", "unwritable"),)), 0) > 0


def test_living_workers_are_shown_from_a_full_disk(join: Join, mount: Mount, tmp_path: Path) -> None:
    """Their states are handed out without being saved; once there is room again they are saved."""
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
    """With one sentence; a disk cannot become read-only while workers have files open on it."""
    mount("remount", "ro")
    with pytest.raises(StateDirectoryError, match=r"/state cannot be used: Read-only file system$"):
        Workers(tmp_path / "state")


def test_a_state_that_cannot_be_written_costs_new_values_their_series(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel takes the disk away, known series count on, and new values are other."""
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
    """Somebody removed it: nothing raises, and what is missing is counted."""
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
    """Waits are by the monotonic clock, and who is alive is a matter of locks: the wall clock orders exemplars only."""
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
