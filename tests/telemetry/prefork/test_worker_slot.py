"""Slots of workers: numbers from 0 on that a successor takes over."""

from __future__ import annotations

import os
from pathlib import Path

from telemetry import Telemetry
from tests.helpers.samples import above_zero
from tests.helpers.worker_process import WorkerProcess
from tests.helpers.workers import FAILURES, Join, tick


def slot(telemetry: Telemetry) -> int | None:
    """Returns the slot of a worker."""
    assert telemetry.workers is not None
    return telemetry.workers.slot()


def test_each_worker_takes_the_lowest_free_slot_and_keeps_it(join: Join) -> None:
    """Workers of a run get 0, 1, 2; asked again, each has the same."""
    workers = [join(), join(), join()]
    assert [slot(each) for each in workers] == [0, 1, 2]
    assert [slot(each) for each in workers] == [0, 1, 2]


def test_a_successor_takes_over_the_slot_of_an_ended_worker(join: Join) -> None:
    """The slot of a worker that has left is the next one's, and the ended worker has none."""
    workers = [join(), join()]
    assert [slot(each) for each in workers] == [0, 1]
    workers[0].shutdown()
    assert slot(workers[0]) is None
    assert slot(join()) == 0


def test_a_killed_process_frees_its_slot(tmp_path: Path) -> None:
    """The kernel frees the slot of a process that was killed."""
    with WorkerProcess(tmp_path / "s") as first, WorkerProcess(tmp_path / "s") as second:
        assert [first.tell("slot"), second.tell("slot")] == ["0", "1"]
        first.kill()
        with WorkerProcess(tmp_path / "s") as third:
            assert [third.tell("slot"), second.tell("slot")] == ["0", "1"]


def test_a_forked_child_takes_a_slot_of_its_own(tmp_path: Path) -> None:
    """A child does not share its parent's slot, and does not free it when it ends."""
    with WorkerProcess(tmp_path / "s") as first, WorkerProcess(tmp_path / "s") as second:
        assert first.tell("slot") == "0"
        assert first.tell("slot_of_fork") == "1"
        assert [second.tell("slot"), first.tell("slot")] == ["1", "0"]


def test_the_slot_is_kept_in_use(join: Join, tmp_path: Path) -> None:
    """Each tick renews the time of the slot's file, which a cleaner of temporary files looks at."""
    telemetry = join()
    assert slot(telemetry) == 0
    path = next((tmp_path / "state").glob("*/slot-0.lock"))
    os.utime(path, (1, 1))
    tick(telemetry)
    assert path.stat().st_mtime > 1


def test_a_slot_that_cannot_be_taken_is_counted(join: Join, tmp_path: Path) -> None:
    """Where the file of a slot is no file, the worker has no slot and counts a failure; later it may get one."""
    telemetry = join()
    run = next((tmp_path / "state").iterdir())
    (run / "slot-0.lock").symlink_to(tmp_path)
    assert slot(telemetry) is None
    assert above_zero(telemetry, FAILURES) == {(FAILURES, (("reason", "unwritable"),)): 1}
    (run / "slot-0.lock").unlink()
    assert slot(telemetry) == 0
