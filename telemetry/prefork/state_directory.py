"""The files of a run: who is alive, what each has saved, and the folded state of those that ended."""

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
    """One run's directory. Failures are counted and logged once; what cannot be read does not count."""

    def __init__(self, folder: Path, diagnostics: Diagnostics) -> None:
        self.folder = folder
        self._diagnostics = diagnostics
        self._folded: tuple[object, WorkerSnapshot | None] = (None, None)

    @property
    def run(self) -> str:
        """The run's name, which every state of it bears."""
        return self.folder.name

    def new_worker(self) -> tuple[str, FileLock]:
        """A name for this worker, and its lock: held before ``publish`` gives its file the name that others look for."""
        worker = f"{os.getpid()}-{uuid4().hex[:8]}"
        held = lock_file(self.folder / f"{worker}.{os.getpid()}.tmp")
        if held is None:
            raise BlockingIOError(errno.EAGAIN, "a new lock is taken")
        return worker, held

    def publish(self, worker: str) -> None:
        """Let others see the worker."""
        (self.folder / f"{worker}.{os.getpid()}.tmp").rename(self.folder / f"{worker}.lock")

    def remove_stale(self) -> None:
        """Remove what processes that were killed had half written."""
        for temporary in self.folder.glob("*.tmp"):
            with suppress(OSError, ValueError):
                if Supervisor.of(int(temporary.stem.rpartition(".")[2])) is None:
                    temporary.unlink()

    def workers(self) -> list[str]:
        """All whose files are there, alive or not, in a stable order."""
        return sorted(lock.stem for lock in self.folder.glob("*.lock") if lock.name != _FOLD_LOCK)

    def has_ended(self, worker: str) -> bool:
        """Whether the process of this worker is gone: nobody holds its lock."""
        try:
            # A shared lock: those who look at the same time do not take each other for the worker.
            held = lock_file(self.folder / f"{worker}.lock", shared=True)
        except FileNotFoundError:
            return True
        if held is not None:
            held.release()
        return held is not None

    @contextmanager
    def folding(self) -> Iterator[bool]:
        """Yields whether it is this process's turn to fold."""
        held = None
        with suppress(OSError):
            held = lock_file(self.folder / _FOLD_LOCK)
        try:
            yield held is not None
        finally:
            if held is not None:
                held.release()

    def save(self, name: str, data: bytes) -> bool:
        """Put a state in its place in one step; whether that could be done."""
        temporary = self.folder / f"{name}.{os.getpid()}.tmp"
        try:
            with open(temporary, "wb", opener=_privately) as file:
                file.write(data)
            temporary.replace(self.folder / f"{name}.state")
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            self.failed("unwritable", f"a state cannot be saved: {error.strerror}")
            return False
        return True

    def load(self, name: str) -> WorkerSnapshot | None:
        """A saved state; None where there is none, or none of ours: that is set aside."""
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
        """The folded state, read again when it has changed."""
        try:
            found = (self.folder / f"{FOLDED}.state").stat()
        except OSError:
            return None
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._folded[0] != mark:
            self._folded = (mark, self.load(FOLDED))
        return self._folded[1]

    def remove(self, worker: str) -> None:
        """Forget a worker: its lock last, so that whoever sees that sees all of it."""
        for suffix in (".sock", ".state", ".lock"):
            with suppress(OSError):
                (self.folder / f"{worker}{suffix}").unlink()

    def failed(self, reason: str, message: str) -> None:
        """Count and log once what went wrong with a state."""
        self._diagnostics.count(telemetry_metrics.STATE_FAILURES.name, reason)
        self._diagnostics.log_once(("state", reason), "several workers: %s", message)

    def _mark_corrupt(self, path: Path, reason: str) -> None:
        self.failed(reason, f"{path} is {reason} and was set aside")
        with suppress(OSError):
            corrupt = len(list(self.folder.glob("*.corrupt")))
            if corrupt < _CORRUPT_LIMIT:
                path.replace(self.folder / f"{path.name}.{uuid4().hex[:8]}.corrupt")
            else:
                path.unlink()


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
