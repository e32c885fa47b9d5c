"""The ledger: exact sums in a file that processes share, and what happens when the file cannot be used."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from telemetry.agentos.ledger import Ledger
from telemetry.metric import telemetry_metrics
from tests.helpers.clock import Clock

ROOT = Path(__file__).parents[3]
TODAY = date(2026, 11, 27)
Make = Callable[..., Ledger]
Mount = Callable[..., None]


@pytest.fixture
def now(clock: Clock) -> Clock:
    """A Friday afternoon."""
    clock.now = datetime(2026, 11, 27, 15, tzinfo=UTC).timestamp()
    return clock


@pytest.fixture
def make(tmp_path: Path, now: Clock) -> Iterator[Make]:
    """Makes ledgers of one file that are closed at the end."""
    made: list[Ledger] = []

    def one(path: Path | None = tmp_path / "ledger", patience: float = 5.0) -> Ledger:
        made.append(Ledger(path, clock=now, delay=0.0, patience=patience))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a file system of 256 kB; a call mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def call(*options: str) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"a file system can only be mounted by root: {done.stderr.strip()}")

    call("size=256k")
    yield call
    subprocess.run(["umount", "--lazy", folder], check=True)


def failures(ledger: Ledger) -> dict[str, int]:
    """Returns the count of failures by reason."""
    return {reason: n for (reason,), n in ledger.diagnostics.values(telemetry_metrics.STATE_FAILURES.name).items()}


def total(ledger: Ledger, workspace: str = "acme") -> Decimal:
    spent = ledger.spent(10)
    assert spent is not None
    return sum((amount for (name, _), amount in spent.items() if name == workspace), Decimal(0))


@pytest.mark.parametrize("path", [None, "ledger"])
def test_sums_are_exact_in_any_context(make: Make, tmp_path: Path, path: str | None) -> None:
    """Amounts of 30 digits and of a millionth make their exact sum, whatever the caller's decimal context rounds to."""
    ledger = make(path and tmp_path / path)
    with localcontext(prec=3):
        for amount in ("123456789012.345678901234567890", "0.000001", "1E-30"):
            ledger.add("acme", Decimal(amount))
            assert ledger.flush(10)
    assert ledger.spent(10) == {("acme", TODAY): Decimal("123456789012.345679901234567890000000000001")}


def test_a_second_process_sees_what_the_first_one_saved(make: Make) -> None:
    """Two ledgers of one file add to one sum, and both read it."""
    one, other = make(), make()
    one.add("acme", Decimal("0.1"))
    assert one.flush(10)
    other.add("acme", Decimal("0.2"))
    assert (total(other), total(one)) == (Decimal("0.3"), Decimal("0.3"))


def test_a_new_file_is_made_by_several_at_once(make: Make, tmp_path: Path) -> None:
    """Eight ledgers that make the file at the same time, twenty times, find no failure and lose nothing."""
    for number in range(20):
        ledgers = [make(tmp_path / f"ledger-{number}") for _ in range(8)]
        for ledger in ledgers:
            ledger.add("acme", Decimal(1))
        assert all(ledger.flush(30) for ledger in ledgers)
        assert [failures(ledger) for ledger in ledgers] == [{}] * 8
        assert total(ledgers[0]) == 8
        for ledger in ledgers:
            ledger.close(30)


def test_a_spending_belongs_to_its_day(make: Make, now: Clock) -> None:
    """What is spent after midnight UTC is another day's; days that no period of today reaches back to are not read."""
    ledger = make()
    for moment in (datetime(2026, 11, 1), datetime(2026, 11, 30, 23, 59, 59), datetime(2026, 12, 1)):
        now.now = moment.replace(tzinfo=UTC).timestamp()
        ledger.add("acme", Decimal(1))
        spent = ledger.spent(10)
    assert spent == {("acme", date(2026, 11, 30)): Decimal(1), ("acme", date(2026, 12, 1)): Decimal(1)}


def test_a_clock_that_leaps_ahead_and_back_takes_nothing_away(make: Make, now: Clock, tmp_path: Path) -> None:
    """The file keeps 400 days: a service whose clock is a year ahead leaves those of the others alone."""
    ledger = make()
    ledger.add("acme", Decimal(1))
    assert ledger.flush(10)
    now.now += 366 * 86_400
    ledger.add("acme", Decimal(2))
    assert ledger.flush(10)
    now.now -= 366 * 86_400
    ledger.add("acme", Decimal(4))
    assert (ledger.spent(10) or {})["acme", TODAY] == Decimal(5)


def test_days_older_than_any_period_leave_the_file(make: Make, now: Clock, tmp_path: Path) -> None:
    """The first spending of a day removes what is more than 400 days old."""
    ledger = make()
    ledger.add("acme", Decimal(1))
    assert ledger.flush(10)
    now.now += 401 * 86_400
    ledger.add("acme", Decimal(2))
    assert ledger.flush(10)
    with closing(sqlite3.connect(tmp_path / "ledger")) as connection:
        assert connection.execute("SELECT amount FROM spent").fetchall() == [("2",)]


def test_spendings_outlive_the_process(make: Make) -> None:
    """What was added before ``close`` is there for the next one; the file is readable for its owner alone."""
    one = make()
    one.add("acme", Decimal("1.5"))
    one.close()
    other = make()
    assert total(other) == Decimal("1.5")
    assert other.path is not None
    assert other.path.stat().st_mode & 0o777 == 0o600


def test_after_the_end_the_last_sums_are_shown(make: Make) -> None:
    """A closed ledger returns what it has read and added, and is not waited for."""
    ledger = make()
    ledger.add("acme", Decimal(1))
    assert total(ledger) == 1
    ledger.add("acme", Decimal(2))
    ledger.close()
    assert total(ledger) == 3
    assert failures(ledger) == {}


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999"), None])
def test_what_is_no_amount_is_dropped(make: Make, amount: Decimal) -> None:
    """It is counted and logged, and never raises."""
    ledger = make()
    ledger.add("acme", amount)
    ledger.add("acme", Decimal(1))
    assert total(ledger) == 1
    assert sum(ledger.diagnostics.values(telemetry_metrics.DROPPED.name).values()) == 1


def test_threads_lose_nothing(make: Make) -> None:
    """Eight threads that add 5,000 random amounts each make the exact sum."""
    ledger, chance = make(), random.Random(7)
    amounts = [[Decimal(chance.randrange(10**9)).scaleb(-9) for _ in range(5000)] for _ in range(8)]
    threads = [threading.Thread(target=lambda own: [ledger.add("acme", each) for each in own], args=(own,)) for own in amounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total(ledger) == sum((each for own in amounts for each in own), Decimal(0))


KILLED = """
import sys
from decimal import Decimal
from pathlib import Path
from telemetry.agentos.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]), clock=lambda: float(sys.argv[2]), delay=0.0, patience=30.0)
while True:
    for _ in range(10):
        ledger.add("acme", Decimal("0.01"))
    print(ledger.flush(60), flush=True)
"""


def test_killed_processes_leave_a_whole_file(make: Make, tmp_path: Path, now: Clock) -> None:
    """Each of twelve processes that are killed while they write leaves what it had saved, and at most ten spendings more."""
    ledger, chance = make(), random.Random(5)
    least = most = Decimal(0)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "ledger"), str(now.now)]
    for _ in range(4):
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
        told = dict.fromkeys(processes, 0)
        for process in processes:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 40)):
                assert process.stdout.readline() == "True\n"
                told[process] += 1
        for process in processes:
            process.kill()
            rest, _ = process.communicate()
            saved = (told[process] + rest.count("True")) * Decimal("0.10")
            least, most = least + saved, most + saved + Decimal("0.10")
        assert least <= total(ledger) <= most
    with closing(sqlite3.connect(tmp_path / "ledger")) as program:
        assert program.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_signal_handler_may_add(make: Make) -> None:
    """A handler that interrupts the same thread's ``add`` 200 times neither waits nor loses an amount."""
    ledger, handled = make(), list[int]()

    def handler(*_: object) -> None:
        handled.append(1)
        ledger.add("acme", Decimal(1))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        count = 0
        while len(handled) < 200:
            ledger.add("acme", Decimal(1))
            count += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert total(ledger) == count + len(handled)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_counts_for_itself(make: Make) -> None:
    """What waits at the fork is saved once; parent and child go on with the same file."""
    ledger = make()
    ledger.add("acme", Decimal(1))
    assert ledger.flush(10)
    ledger.add("acme", Decimal(2))
    child = os.fork()
    if child == 0:
        ledger.add("acme", Decimal(4))
        os._exit(0 if ledger.flush(10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ledger.add("acme", Decimal(8))
    assert total(ledger) == 15
    assert failures(ledger) == {}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_and_its_parent_hold_locks_of_their_own(make: Make) -> None:
    """A parent that closes the file, as its last user removes SQLite's log, takes nothing from a child that goes on."""
    ledger = make()
    ledger.add("acme", Decimal(1))
    assert ledger.flush(10)
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    child = os.fork()
    if child == 0:
        ledger.add("acme", Decimal(2))
        saved = ledger.flush(10)
        os.write(to_parent, b"saved")
        os.read(from_parent, 1)
        ledger.add("acme", Decimal(4))
        os._exit(0 if saved and ledger.flush(10) else 1)
    os.read(from_child, 5)
    ledger.close(10)
    os.write(to_child, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert total(make()) == 7


def test_a_locked_file_delays_what_is_spent(make: Make, tmp_path: Path) -> None:
    """While another program holds the file, spendings wait and are shown; they are saved when it lets go."""
    ledger, other = make(patience=0.01), make()
    ledger.add("acme", Decimal(1))
    assert total(ledger) == 1
    with closing(sqlite3.connect(tmp_path / "ledger", isolation_level=None)) as program:
        program.execute("BEGIN IMMEDIATE")
        ledger.add("acme", Decimal(2))
        assert not ledger.flush(10)
        assert total(ledger) == 3
        assert total(other) == 1
        program.execute("ROLLBACK")
    assert ledger.flush(10)
    assert total(other) == 3
    assert set(failures(ledger)) == {"unwritable"}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e20, -1e12])
def test_a_clock_that_fails_does_so_for_its_time_alone(make: Make, now: Clock, wrong: float) -> None:
    """What is spent at a time that is none is dropped; when the clock is right again, so is the ledger."""
    ledger, right = make(), now.now
    ledger.add("acme", Decimal(1))
    assert total(ledger) == 1
    now.now = wrong
    ledger.add("acme", Decimal(2))
    ledger.flush(10)
    now.now = right
    ledger.add("acme", Decimal(4))
    assert total(ledger) == 5
    assert total(make()) == 5


def test_one_look_waits_for_a_thread_that_hangs(now: Clock, tmp_path: Path) -> None:
    """The first look waits for its time; further ones answer at once with what is known, until the thread has answered."""
    hangs, goes_on = threading.Event(), threading.Event()
    goes_on.set()

    def wake() -> None:
        hangs.set()
        goes_on.wait()

    ledger = Ledger(tmp_path / "ledger", clock=now, delay=0.0, on_wake=wake)
    ledger.add("acme", Decimal(1))
    assert total(ledger) == 1
    hangs.clear()
    goes_on.clear()
    assert hangs.wait(60)
    ledger.add("acme", Decimal(2))
    looks = [ledger.spent(seconds) for seconds in (0.01, 600, 600)]
    assert [sum(look.values()) for look in looks if look is not None] == [3, 3, 3]
    assert failures(ledger) == {"hung": 1}
    goes_on.set()
    assert ledger.flush(60)
    other = Ledger(tmp_path / "ledger", clock=now)
    assert total(other) == 3
    for each in (ledger, other):
        each.close()


def test_a_file_of_another_program_is_left_alone(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A database with tables that are not ours is refused, and nothing is shown; once it is moved away, nothing is lost."""
    path = tmp_path / "ledger"
    with closing(sqlite3.connect(path, isolation_level=None)) as program:
        program.execute("CREATE TABLE theirs (a)")
    before = path.read_bytes()
    ledger = make()
    ledger.add("acme", Decimal(1))
    assert ledger.spent(10) is None
    assert ledger.spent(10) is None
    assert path.read_bytes() == before
    assert set(failures(ledger)) == {"foreign"}
    reason = "the file is the database of another program"
    message = f"the ledger of workspaces {path} cannot be used: {reason}; spendings wait in memory"
    assert [record.getMessage() for record in caplog.records] == [message]
    path.unlink()
    assert total(ledger) == 1


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_corrupt_file_is_left_alone(make: Make, tmp_path: Path, content: bytes) -> None:
    """It is counted as torn, never written to, and spendings wait until it is moved away."""
    path = tmp_path / "ledger"
    path.write_bytes(content)
    ledger = make()
    ledger.add("acme", Decimal(1))
    assert ledger.spent(10) is None
    assert path.read_bytes() == content
    assert set(failures(ledger)) == {"torn"}
    path.unlink()
    ledger.add("acme", Decimal(2))
    assert total(ledger) == 3


def test_a_file_that_breaks_while_it_is_used_shows_what_was_known(make: Make, tmp_path: Path) -> None:
    """What was read before, and what was added since, is shown while the file is unusable."""
    ledger = make()
    ledger.add("acme", Decimal(1))
    assert total(ledger) == 1
    for name in ("ledger", "ledger-wal", "ledger-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "ledger").write_bytes(b"nothing" * 1000)
    ledger.add("acme", Decimal(2))
    assert total(ledger) == 3
    assert set(failures(ledger)) == {"torn"}


def test_a_missing_directory_delays_what_is_spent(make: Make, tmp_path: Path) -> None:
    """Nothing is shown until the directory is there; then nothing is lost."""
    ledger = make(tmp_path / "later" / "ledger")
    ledger.add("acme", Decimal(1))
    assert ledger.spent(10) is None
    assert set(failures(ledger)) == {"unreadable"}
    (tmp_path / "later").mkdir()
    assert total(ledger) == 1


def test_a_full_disk_delays_what_is_spent(make: Make, mount: Mount, tmp_path: Path) -> None:
    """On a full disk spendings wait and are shown; with free space they are saved."""
    path = tmp_path / "disk" / "ledger"
    ledger, other = make(path), make(path)
    ledger.add("acme", Decimal(1))
    assert total(ledger) == 1
    with pytest.raises(OSError, match="No space left"), (tmp_path / "disk" / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))
    for number in range(100):
        ledger.add(f"workspace-{number}", Decimal(1))
    ledger.add("acme", Decimal(2))
    assert not ledger.flush(10)
    assert total(ledger) == 3
    (tmp_path / "disk" / "ballast").unlink()
    assert ledger.flush(10)
    assert total(other) == 3
    assert set(failures(ledger)) == {"unwritable"}


def test_a_read_only_disk_shows_what_is_known(make: Make, mount: Mount, tmp_path: Path) -> None:
    """What was saved before is shown with what is added; it is saved once the disk is writable."""
    path = tmp_path / "disk" / "ledger"
    first = make(path)
    first.add("acme", Decimal(1))
    assert total(first) == 1
    first.close()
    mount("remount", "ro")
    ledger = make(path)
    ledger.add("acme", Decimal(2))
    assert ledger.spent(10) is None
    assert set(failures(ledger)) <= {"unwritable", "unreadable"}
    mount("remount", "rw")
    assert total(ledger) == 3


def test_what_waits_is_bounded(make: Make, tmp_path: Path, now: Clock) -> None:
    """While nothing can be saved for 400 days, a workspace has at most 37 sums in memory."""
    ledger = make(tmp_path / "never" / "ledger")
    for _ in range(400):
        now.now += 86_400
        ledger.add("acme", Decimal(1))
        assert not ledger.flush(10)
        assert len(ledger._unsaved) <= 37
