"""What workspaces have spent, by day: a SQLite file that several processes share, written by one thread of each.

Amounts are exact: decimal text in the file, ``Decimal`` in memory. A day in UTC is the smallest part of every budget's period,
so that a budget whose period is changed still knows what was spent. ``Ledger.add`` does no I/O: what is added waits in sums by
workspace and day, which are bounded by the workspaces that have a budget, and the thread saves them together, many a
transaction. While the file cannot be written (full disk, locked, corrupt, read-only) the sums wait, and are saved later.

No connection to the file is open while the process forks: SQLite's locks are the process's, and a child that inherits the
memory of one takes them for its own (https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_).

The file is in WAL mode, so that readers and writers do not wait for each other, and a killed process leaves it whole:
https://www.sqlite.org/wal.html. That needs a local file system.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from multiprocessing import util
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread, get_ident
from typing import TYPE_CHECKING, Any, TypeAlias

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.fork import register_after_fork, register_around_fork
from telemetry._base.printable import printable
from telemetry._base.reentry import Serial
from telemetry.agentos.budgets import day_of, first_kept
from telemetry.instruments.decimals import EXACT
from telemetry.metric import telemetry_metrics

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Ledger", "Spendings"]

Spendings: TypeAlias = Mapping[tuple[str, date], Decimal]
"""USD by workspace and day."""

_APPLICATION = 0x41674C64
"""Marks the file as ours: https://www.sqlite.org/pragma.html#pragma_application_id."""
_DAYS_IN_FILE = 400
"""Days that the file keeps, more than any period has: a clock that is set a year ahead and back takes nothing away."""
_TICK_SECONDS = 1.0
_BUSY_SECONDS = 0.01
_BUSY, _LOCKED, _CORRUPT, _NOT_A_DATABASE = 5, 6, 11, 26
"""Result codes of SQLite: https://www.sqlite.org/rescode.html."""
_FORK_SECONDS = 2.0
"""Longest wait of a fork for a transaction."""
_EXIT_PRIORITY = -10
"""Among the finalizers of ``multiprocessing``, after its own, which wait for this process's children."""


_MOST_DIGITS = 18
"""A spending of 10^18 USD and more is a mistake, and its sum may be beyond what a decimal holds."""
_MOST_COMMANDS = 100
"""How many requests wait for a thread that hangs."""

_inherited: list[object] = []
"""A parent's connections that were not closed before a fork. The child must not close them."""


class _ForeignFileError(Exception):
    """The file is a database of another program."""


class _InheritedConnectionError(Exception):
    """The parent was inside SQLite while it forked, so that this process cannot use the file."""


@dataclass(slots=True)
class _Request:
    """Asks the thread to save what waits, and to read the file."""

    ends: bool = False
    done: SimpleQueue[bool] = field(default_factory=SimpleQueue)


class Ledger:
    """Adds up what workspaces spend, by day, over all processes that have the same file.

    Days that no budget's period of today reaches back to are not read, and leave the file later. A forked child counts for
    itself, to the same file.

    Args:
        path: The file, which is made with mode 0600; None: SQLite's own temporary file, which is this process's alone.
        diagnostics: Failures are counted as ``agentos.telemetry.state.failures``, and logged once a reason.
        clock: Unix time in seconds; its day in UTC is that of a spending.
        delay: Seconds for which spendings are collected before they are saved: a killed process loses at most those.
        patience: Seconds to wait for another process that writes.
        on_wake: Called in the thread before it saves or reads, and at least once a second.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        diagnostics: Diagnostics | None = None,
        clock: Callable[[], float] = time.time,
        delay: float = 0.05,
        patience: float = 0.75,
        on_wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.diagnostics = diagnostics or Diagnostics()
        self._clock = clock
        self._delay = delay
        self._patience = patience
        self._on_wake = on_wake
        self._change = Serial(lambda step, *arguments: step(*arguments))
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._is_usable = True
        self._reset()
        register_around_fork(self._before_fork, self._after_fork_in_parent)
        register_after_fork(self._after_fork_in_child)
        util.register_after_fork(self, Ledger._end_with_process)
        atexit.register(self.close)
        self._end_with_process()

    def _reset(self) -> None:
        self._unsaved: dict[tuple[str, date], Decimal] = {}
        self._lock = Lock()
        self._using = Lock()
        """Held by the thread while it uses the connection, and by a thread that forks."""
        self._forking: int | None = None
        self._saving: dict[tuple[str, date], Decimal] = {}
        """What the thread is saving, or has saved since it last read the file."""
        self._saved: dict[tuple[str, date], Decimal] | None = None
        """What the thread last read."""
        self._commands: SimpleQueue[_Request | None] = SimpleQueue()
        self._is_woken = False
        self._late: SimpleQueue[bool] | None = None
        """Where the thread puts the answer to the last request that was not waited for any longer."""
        self._starting = Lock()
        self._thread: Thread | None = None
        self._cleared: date | None = None

    def _before_fork(self) -> None:
        if self._using.acquire(timeout=_FORK_SECONDS):
            self._forking = get_ident()
            self._disconnect()

    def _after_fork_in_parent(self) -> None:
        if self._forking == get_ident():
            self._forking = None
            self._using.release()

    def _after_fork_in_child(self) -> None:
        """The parent saves what waits."""
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None
            self._is_usable = self.path is None  # else the parent's thread is in a transaction that takes too long
        self._change.reset()
        self._reset()

    def _end_with_process(self) -> None:
        """Closes when a child of ``multiprocessing`` ends, which by ``fork`` and ``forkserver`` does not run ``atexit``."""
        if multiprocessing.parent_process() is not None:
            util.Finalize(None, self.close, exitpriority=_EXIT_PRIORITY)

    def add(self, workspace: str, amount: Decimal) -> None:
        """Adds a spending of now, in USD. Returns at once and never raises; amounts that are not finite are dropped."""
        try:
            if not amount.is_finite():
                return self._dropped("not_finite", amount)
            if amount.adjusted() >= _MOST_DIGITS:
                return self._dropped("failed", amount)
            self._change(self._add, {(workspace, day_of(self._clock())): amount})
            if not self._is_woken:
                self._is_woken = True
                self._commands.put(None)
            self.start()
        except Exception as error:
            self._dropped("failed", error)
        return None

    def spent(self, timeout: float = 1.0) -> Spendings | None:
        """Saves what waits, and returns what all processes have spent on the days that are kept.

        What cannot be read within ``timeout`` seconds is what was read last, with all that this process has added since; None
        where nothing was ever read. While the thread is late with an earlier look, none waits for it again. Call it from no
        event loop.
        """
        if self._late is None or not self._late.empty():  # else the thread hangs: each further look would wait as long
            self._ask(_Request(), timeout)
        with self._lock:
            if self._saved is None:
                return None
            unsaved: list[Any] = []
            self._change(lambda: unsaved.extend(self._unsaved.items()))
            return _sum(self._saved.items(), self._saving.items(), unsaved)

    def flush(self, timeout: float = 1.0) -> bool:
        """Saves what waits. Returns whether that succeeded within ``timeout`` seconds."""
        return self._ask(_Request(), timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Saves what waits and ends the thread. Spendings that are added later are not saved. A second call does nothing."""
        if self._closed:
            return
        atexit.unregister(self.close)
        if self._thread is not None:
            self._ask(_Request(ends=True), timeout)
        self._closed = True

    def start(self) -> None:
        """Starts the thread of this process where it does not run; a spending and a look start it too."""
        if self._thread is not None or self._closed or not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = Thread(target=self._work, args=(self._commands,), name="agentos-ledger", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError as error:  # no more threads: the next call tries again
            self._failed("unwritable", error)
        finally:
            self._starting.release()

    def _ask(self, request: _Request, timeout: float) -> bool:
        if self._closed or self._commands.qsize() > _MOST_COMMANDS:
            return False
        self._commands.put(request)
        self.start()
        try:
            return request.done.get(timeout=timeout)
        except Empty:
            self._late = request.done
            self._failed("hung", f"no answer within {timeout:g} s")
            return False

    def _add(self, amounts: Spendings) -> None:
        for key, amount in amounts.items():
            self._unsaved[key] = EXACT.add(self._unsaved.get(key, Decimal(0)), amount)

    def _take(self, taken: dict[tuple[str, date], Decimal]) -> None:
        """Moves what is unsaved to ``taken``."""
        taken.update(self._unsaved)
        self._unsaved = {}

    def _forget(self) -> None:
        """Removes days that are over for every budget, which wait where the file cannot be written for long."""
        self._unsaved = dict(self._kept(self._unsaved))

    def _kept(self, amounts: Spendings) -> Spendings:
        first = first_kept(day_of(self._clock()))
        return {key: amount for key, amount in amounts.items() if key[1] >= first}

    # The thread

    def _work(self, commands: SimpleQueue[_Request | None]) -> None:
        """Serves the commands."""
        ends = False
        while not ends:
            requests = self._next(commands)
            ends = any(request.ends for request in requests)
            with suppress(Exception):
                self._on_wake()
            with suppress(Exception):  # a clock that fails ends no thread
                self._change(self._forget)
            if requests or self._unsaved:
                with self._using:
                    succeeded = self._use(read=bool(requests))
                    if ends:
                        self._disconnect(ends=True)
                for request in requests:
                    request.done.put(succeeded)

    def _use(self, *, read: bool) -> bool:
        """Saves what waits over the connection, which is opened where there is none. Returns whether that succeeded."""
        succeeded = False
        try:
            if self.path is not None and self._identity != _identity(self.path):
                self._disconnect()
            if self._connection is None:
                self._connection = self._open()
                self._identity = None if self.path is None else _identity(self.path)
            succeeded = self._serve(self._connection, read=read)
        except Exception as error:
            self._failed(_reason(error, "unreadable"), error)
        if not succeeded and self.path is not None:
            self._disconnect()
        return succeeded

    def _disconnect(self, *, ends: bool = False) -> None:
        """Closes the connection. One to a temporary file, which is gone with it, is kept until the end."""
        connection = self._connection
        if connection is not None and (self.path is not None or ends):
            self._connection = None
            with suppress(Exception):
                connection.close()

    def _next(self, commands: SimpleQueue[_Request | None]) -> list[_Request]:
        """Waits for a command, or a second; then for further spendings, until a request comes or ``delay`` is over."""
        requests: list[_Request] = []
        deadline = time.monotonic() + _TICK_SECONDS
        while not requests and (left := deadline - time.monotonic()) > 0:
            try:
                command = commands.get(timeout=left)
            except Empty:
                break
            if command is None:
                self._is_woken = False
                deadline = min(deadline, time.monotonic() + self._delay)
            else:
                requests.append(command)
        with suppress(Empty):
            while True:
                if (command := commands.get_nowait()) is None:
                    self._is_woken = False
                else:
                    requests.append(command)
        return requests

    def _serve(self, connection: sqlite3.Connection, *, read: bool) -> bool:
        """Saves what waits, and reads what is there. Returns whether both succeeded."""
        succeeded = self._save(connection)
        if not read:
            return succeeded
        found = {
            (workspace, date.fromordinal(day)): Decimal(amount)
            for workspace, day, amount in connection.execute(
                "SELECT workspace, day, amount FROM spent WHERE day >= ?", (first_kept(day_of(self._clock())).toordinal(),)
            )
        }
        with self._lock:
            self._saved = found
            self._saving = {}
        return succeeded

    def _save(self, connection: sqlite3.Connection) -> bool:
        taken: dict[tuple[str, date], Decimal] = {}
        with self._lock:
            self._change(self._take, taken)
            before = self._saving
            self._saving = _sum(self._kept(before).items(), taken.items())
        if not taken:
            return True
        try:
            self._write(connection, taken)
        except Exception as error:
            with self._lock:
                self._saving = before
                self._change(self._add, taken)
            self._failed(_reason(error, "unwritable"), error)
            return False
        return True

    def _write(self, connection: sqlite3.Connection, amounts: Spendings) -> None:
        today = day_of(self._clock())
        connection.execute("BEGIN IMMEDIATE")
        try:
            if self._cleared != today:
                connection.execute("DELETE FROM spent WHERE day < ?", (today.toordinal() - _DAYS_IN_FILE,))
            for (workspace, day), amount in amounts.items():
                key = (workspace, day.toordinal())
                found = connection.execute("SELECT amount FROM spent WHERE workspace = ? AND day = ?", key).fetchone()
                total = amount if found is None else EXACT.add(Decimal(found[0]), amount)
                connection.execute("INSERT OR REPLACE INTO spent VALUES (?, ?, ?)", (*key, str(total)))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._cleared = today

    def _open(self) -> sqlite3.Connection:
        import sqlite3  # some builds of Python have none: then only budgets fail

        if not self._is_usable:
            raise _InheritedConnectionError("the process that forked this one used the file at that moment")

        if self.path is not None:
            with suppress(FileExistsError):
                # Only where the file is new: closing a descriptor releases the process's locks on it.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600))
        name = "" if self.path is None else os.fspath(self.path)
        connection = sqlite3.connect(name, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            self._patiently(lambda: self._prepare(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Makes the table in a new file, and checks that another file is ours."""
        # In this order: another process may make the table and the mark in between, in one transaction.
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != _APPLICATION:
            if application or tables:
                raise _ForeignFileError("the file is the database of another program")
            if self.path is not None:
                connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                "BEGIN IMMEDIATE;"
                "CREATE TABLE IF NOT EXISTS spent (workspace TEXT NOT NULL, day INTEGER NOT NULL, amount TEXT NOT NULL,"
                " PRIMARY KEY (workspace, day)) WITHOUT ROWID;"
                f"PRAGMA application_id = {_APPLICATION};"
                "COMMIT"
            )
        connection.execute("PRAGMA synchronous = NORMAL")  # a power failure may lose the last spendings, never the file

    def _patiently(self, attempt: Callable[[], None]) -> None:
        """Repeats what another process's lock prevents: SQLite does not wait for every lock of a new file."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return attempt()
            except Exception as error:
                if _code(error) not in (_BUSY, _LOCKED) or time.monotonic() > deadline:
                    raise
                time.sleep(_BUSY_SECONDS)

    def _failed(self, reason: str, what: object) -> None:
        self.diagnostics.count(telemetry_metrics.STATE_FAILURES.name, reason)
        message = "the ledger of workspaces%s cannot be used: %s; spendings wait in memory"
        where = "" if self.path is None else f" {printable(self.path)}"
        self.diagnostics.log_once(("ledger", reason), message, where, printable(what))

    def _dropped(self, reason: str, what: object) -> None:
        self.diagnostics.count(telemetry_metrics.DROPPED.name, "workspace_budget_remaining_USD", reason)
        self.diagnostics.log_once(("spending", reason), "a spending was dropped: %s", printable(what))


def _sum(*parts: Iterable[tuple[tuple[str, date], Decimal]]) -> dict[tuple[str, date], Decimal]:
    total: dict[tuple[str, date], Decimal] = {}
    for part in parts:
        for key, amount in part:
            total[key] = EXACT.add(total[key], amount) if key in total else amount
    return total


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _reason(error: Exception, otherwise: str) -> str:
    """Returns the reason in the count of failures."""
    if isinstance(error, _ForeignFileError):
        return "foreign"
    if isinstance(error, _InheritedConnectionError):
        return "hung"
    return "torn" if _code(error) in (_CORRUPT, _NOT_A_DATABASE) else otherwise
