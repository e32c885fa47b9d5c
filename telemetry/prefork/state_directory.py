"""The files of a run: each worker's lock and state, and the folded state of the workers that ended."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.file_lock import FileLock, lock_file
from telemetry.metric import telemetry_metrics
from telemetry.prefork.run import Supervisor
from telemetry.prefork.snapshot import StateError, WorkerSnapshot, decode

__all__ = ["FOLDED", "StateDirectory"]

FOLDED = "folded"
_FOLD_LOCK = "fold.lock"
_CORRUPT_LIMIT = 10


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

    def new_worker(self) -> tuple[str, FileLock]:
        """Returns a name for this worker, and its lock, which is held before ``publish`` makes it visible."""
        worker = f"{os.getpid()}-{uuid4().hex[:8]}"
        lock = lock_file(self._temporary(worker))
        if lock is None:
            raise BlockingIOError(errno.EAGAIN, "a new lock is taken")
        return worker, lock

    def publish(self, worker: str) -> None:
        """Makes the worker visible to the others."""
        self._temporary(worker).rename(self.folder / f"{worker}.lock")

    def remove_stale(self) -> None:
        """Removes temporary files of processes that were killed."""
        for temporary in self.folder.glob("*.tmp"):
            with suppress(OSError, ValueError):
                if Supervisor.of(int(temporary.stem.rpartition(".")[2])) is None:
                    temporary.unlink()

    def workers(self) -> list[str]:
        """Returns the workers that have files here, alive or not, in a stable order."""
        return sorted(lock.stem for lock in self.folder.glob("*.lock") if lock.name != _FOLD_LOCK)

    def has_ended(self, worker: str) -> bool:
        """Whether the worker's process has ended, which releases its lock."""
        try:
            # A shared lock: two workers that check at the same time do not take each other for the worker.
            lock = lock_file(self.folder / f"{worker}.lock", shared=True)
        except FileNotFoundError:
            return True
        if lock is not None:
            lock.release()
        return lock is not None

    @contextmanager
    def folding(self) -> Iterator[bool]:
        """Yields whether this process may fold: it holds the lock for that."""
        lock = None
        with suppress(OSError):
            lock = lock_file(self.folder / _FOLD_LOCK)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

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
            self.failed("unwritable", f"a state cannot be saved: {error.strerror}")
            return False
        return True

    def load(self, name: str) -> WorkerSnapshot | None:
        """Returns a saved state, or None. A file without a valid state of this run is marked as corrupt."""
        path = self.folder / f"{name}.state"
        try:
            snapshot = decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            self.failed("unreadable", f"{path} cannot be read: {error.strerror}")
            return None
        except StateError as error:
            self._mark_corrupt(path, error.reason)
            return None
        if (snapshot.run, snapshot.worker) != (self.run, name):
            self._mark_corrupt(path, "stale")
            return None
        return snapshot

    def folded(self) -> WorkerSnapshot | None:
        """Returns the folded state, read again when its file has changed."""
        try:
            found = (self.folder / f"{FOLDED}.state").stat()
        except OSError:
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


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
