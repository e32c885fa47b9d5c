"""A worker's place in its run: the lowest number that no other living worker has.

A process id as a label would be a new series for each recycled worker. The number of an ended worker is free for its successor,
so that there are as many as workers lived at once.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from telemetry._base.file_lock import FileLock, lock_file

__all__ = ["WorkerSlot"]

_MAX_SLOTS = 10_000


class WorkerSlot:
    """The slot of this process. A lock on the file ``slot-<number>.lock`` holds it, which the kernel releases with the process.

    Args:
        folder: The run's directory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: tuple[int, FileLock] | None = None
        self._lock = Lock()

    def take(self) -> int | None:
        """Returns the number, which is taken at the first call; None where all are taken. Raises ``OSError``."""
        with self._lock:
            if self._held is None:
                self._held = self._lowest()
            return None if self._held is None else self._held[0]

    def touch(self) -> None:
        """Shows a cleaner of temporary files that the slot is in use. Raises ``OSError``."""
        with self._lock:
            if self._held is not None:
                self._held[1].touch()

    def release(self) -> None:
        """Frees the number."""
        with self._lock:
            if self._held is not None:
                self._held[1].release()
                self._held = None

    def reset_after_fork(self) -> None:
        """Leaves the number to the parent. A thread of the parent may have held the lock."""
        self._lock = Lock()
        self.release()

    def _lowest(self) -> tuple[int, FileLock] | None:
        for number in range(_MAX_SLOTS):
            if (lock := lock_file(self._folder / f"slot-{number}.lock")) is not None:
                return number, lock
        return None
