"""The files of a run: each worker's lock and state, and the folded state of the workers that ended."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.file_lock import FileLock, lock_file
from telemetry.metric import telemetry_metrics
from telemetry.prefork.run import Supervisor
from telemetry.prefork.snapshot import StateError, WorkerSnapshot, decode

__all__ = ["FOLDED", "LABELS", "LEDGER", "MARKER", "STARTED", "StateDirectory", "birth", "is_own_file", "worker_of_lock"]

FOLDED = "folded"
LABELS = "labels"
LEDGER = "ledger"
"""What workspaces have spent, a SQLite file (``telemetry.agentos.ledger``)."""
MARKER = "fold.lock"
"""The lock for folding, whose content marks the directory as a run's (``run_directory``)."""
STARTED = "started"
"""When the run started, as its first worker has computed it."""
_CORRUPT_LIMIT = 10
_WORKER = r"[0-9]+(?:-[0-9a-f]+){1,2}"
_LOCK = re.compile(rf"({_WORKER})\.lock")
_TEMPORARY = re.compile(rf"(?:{_WORKER}|{FOLDED}|{STARTED})\.([0-9]+)\.tmp")
_OWN = re.compile(
    rf"{_WORKER}\.(?:lock|sock)|slot-[0-9]{{1,4}}\.lock|(?:{_WORKER}|{FOLDED})\.(?:state|state\.[0-9a-f]{{8}}\.corrupt|[0-9]+\.tmp)"
    rf"|fold\.lock|{LEDGER}(?:-wal|-shm|-journal)?|{LABELS}|{LABELS}\.[0-9a-f]{{8}}\.corrupt|probe-[0-9a-f]{{8}}"
    rf"|{STARTED}(?:\.[0-9]+\.tmp)?"
)


def is_own_file(name: str) -> bool:
    """Whether a file of a run can have this name."""
    return _OWN.fullmatch(name) is not None


def worker_of_lock(name: str) -> str:
    """Returns the worker whose lock has this name, an empty text for any other file."""
    found = _LOCK.fullmatch(name)
    return "" if found is None else found[1]


def birth(worker: str) -> int:
    """Returns when the worker's program started to record, by the clock that the processes of a machine share; 0 if unknown."""
    parts = worker.split("-")
    return int(parts[1], 16) if len(parts) == 3 else 0


class StateDirectory:
    """One run's directory. Failures are counted and logged once; a state that cannot be read is not shown.

    Args:
        folder: The directory, whose name is the run's.
        diagnostics: Counts failures as ``agentos.telemetry.state_failures``.
    """

    def __init__(self, folder: Path, diagnostics: Diagnostics) -> None:
        self.folder = folder
        self._diagnostics = diagnostics
        self._folded: tuple[object, WorkerSnapshot | None] = (None, None)

    @property
    def run(self) -> str:
        """The run's name, which is part of each of its states."""
        return self.folder.name

    def new_worker(self, born: int | None = None) -> tuple[str, FileLock]:
        """Returns a name for this worker, and its lock, which is held before ``publish`` makes it visible.

        Args:
            born: Its ``birth``; by default now. A forked child has its parent's: it records what its parent defined.
        """
        worker = f"{os.getpid()}-{time.monotonic_ns() if born is None else born:x}-{uuid4().hex[:8]}"
        lock = lock_file(self._temporary(worker))
        if lock is None:
            raise BlockingIOError(errno.EAGAIN, "a new lock is taken")
        return worker, lock

    def publish(self, worker: str) -> None:
        """Makes the worker visible to the others."""
        self._temporary(worker).rename(self.folder / f"{worker}.lock")

    def remove_stale(self) -> None:
        """Removes temporary files of processes that were killed."""
        for path in self.folder.iterdir():
            if (found := _TEMPORARY.fullmatch(path.name)) and Supervisor.of(int(found[1])) is None:
                with suppress(OSError):
                    path.unlink()

    def workers(self) -> list[str]:
        """Returns the workers that have files here, alive or not, in a stable order. Raises ``OSError``."""
        return sorted(filter(None, (worker_of_lock(path.name) for path in self.folder.iterdir())))

    def has_ended(self, worker: str) -> bool:
        """Whether the worker's process has ended, which releases its lock. False where that cannot be told."""
        try:
            # A shared lock: two workers that check at the same time do not take each other for the worker.
            lock = lock_file(self.folder / f"{worker}.lock", shared=True)
        except FileNotFoundError:
            return True
        except OSError as error:
            self.failed("unreadable", f"whether a worker lives cannot be told: {error.strerror}")
            return False
        if lock is not None:
            lock.release()
        return lock is not None

    @contextmanager
    def folding(self) -> Iterator[bool]:
        """Yields whether this process may fold: it holds the lock for that."""
        lock = None
        with suppress(OSError):
            lock = lock_file(self.folder / MARKER)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.end()  # another thread may have forked meanwhile

    def save(self, name: str, data: bytes) -> bool:
        """Replaces a state in one step. Returns whether that succeeded."""
        temporary = self._temporary(name)
        try:
            with open(temporary, "wb", opener=_open_private) as file:
                file.write(data)
            temporary.replace(self.folder / f"{name}.state")
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            if isinstance(error, IsADirectoryError):
                self._mark_corrupt(self.folder / f"{name}.state", "foreign")  # the next save finds the place free
            self.failed("unwritable", f"a state cannot be saved: {error.strerror}")
            return False
        return True

    def load(self, name: str) -> WorkerSnapshot | None:
        """Returns a saved state, or None. A file without a valid state of this run is marked as corrupt.

        Raises:
            OSError: The file cannot be read now; there may be a state in it.
        """
        path = self.folder / f"{name}.state"
        try:
            snapshot = decode(_read(path))
        except FileNotFoundError:
            return None
        except StateError as error:
            self._mark_corrupt(path, error.reason)
            return None
        except OSError as error:
            self.failed("unreadable", f"{path} cannot be read: {error.strerror}")
            raise
        if (snapshot.run, snapshot.worker) != (self.run, name):
            self._mark_corrupt(path, "stale")
            return None
        return snapshot

    def first(self, name: str, text: str) -> str:
        """Returns the text that the first worker of the run has kept under a name: ``text``, where none has.

        Raises:
            OSError: It can be neither kept nor read.
            StateError: What has the name is no file.
        """
        with suppress(FileNotFoundError):
            return _read(self.folder / name).decode(errors="replace")
        temporary = self._temporary(name)
        try:
            with open(temporary, "w", opener=_open_private) as file:
                file.write(text)
            with suppress(FileExistsError):  # another worker was faster
                os.link(temporary, self.folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        return _read(self.folder / name).decode(errors="replace")

    def folded(self) -> WorkerSnapshot | None:
        """Returns the folded state, read again when its file has changed. Raises ``OSError`` as ``load`` does."""
        try:
            found = (self.folder / f"{FOLDED}.state").stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._folded[0] != stamp:
            self._folded = (stamp, self.load(FOLDED))
        return self._folded[1]

    def remove(self, worker: str) -> None:
        """Removes a worker's files, the lock last: a worker with a lock file has its other files, too."""
        for suffix in (".sock", ".state", ".lock"):
            with suppress(OSError):
                (self.folder / f"{worker}{suffix}").unlink()

    def failed(self, reason: str, message: str) -> None:
        """Counts a failure with a state; logs the first one of each reason."""
        self._diagnostics.count(telemetry_metrics.STATE_FAILURES.name, reason)
        self._diagnostics.log_once(("state", reason), "several workers: %s", message)

    def _temporary(self, name: str) -> Path:
        """A file that is renamed once it is complete; the process id says whose it is."""
        return self.folder / f"{name}.{os.getpid()}.tmp"

    def _mark_corrupt(self, path: Path, reason: str) -> None:
        self.failed(reason, f"{path} is {reason} and was set aside")
        with suppress(OSError):
            corrupt = len(list(self.folder.glob("*.corrupt")))
            if corrupt < _CORRUPT_LIMIT:
                path.replace(self.folder / f"{path.name}.{uuid4().hex[:8]}.corrupt")
            else:
                path.unlink()


def _read(path: Path) -> bytes:
    """Returns a file's bytes. Raises ``OSError``; ``StateError`` for what is no file, of which nothing can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
            raise StateError("foreign") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StateError("foreign")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
