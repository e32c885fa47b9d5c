"""Locks between processes that the kernel releases when their holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["FileLock", "lock_file"]


class FileLock:
    """A lock that is held for as long as its file is open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Releases the lock. In a forked child this closes the child's descriptor only: the parent keeps its lock."""
        os.close(self._descriptor)


def lock_file(path: Path, *, shared: bool = False) -> FileLock | None:
    """Locks a file without waiting, and creates it with mode 0600 unless the lock is shared.

    Args:
        path: The file; a symbolic link is refused.
        shared: Several processes may hold a shared lock at once, but not beside an exclusive one.

    Returns:
        The lock, or None while another process holds it.

    Raises:
        OSError: The file cannot be opened; ``FileNotFoundError`` for a shared lock on a file that does not exist.
    """
    access = os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, access | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return FileLock(descriptor)
