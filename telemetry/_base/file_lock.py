"""Locks between processes that the kernel releases when their holder ends, however it ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows and Pyodide have none
    fcntl = None

__all__ = ["FileLock", "has_file_locks", "lock_file"]


class FileLock:
    """A lock that is held for as long as its file is open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Releases the lock. In a forked child this closes the child's descriptor only: the parent keeps its lock."""
        os.close(self._descriptor)

    def end(self) -> None:
        """Releases the lock for all processes: a child that was forked meanwhile holds it no longer."""
        if fcntl is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.release()

    def touch(self) -> None:
        """Makes now the time at which the file was changed, also where it has lost its name. Raises ``OSError``."""
        os.utime(self._descriptor)


def has_file_locks() -> bool:
    """Whether this platform has such locks."""
    return fcntl is not None


def lock_file(path: Path | str, *, shared: bool = False, folder: int | None = None) -> FileLock | None:
    """Locks a file without waiting, and creates it with mode 0600 unless the lock is shared.

    Args:
        path: The file; a symbolic link is refused.
        shared: Several processes may hold a shared lock at once, but not beside an exclusive one.
        folder: Descriptor of the directory that ``path`` is relative to.

    Returns:
        The lock, or None while another process holds it.

    Raises:
        OSError: The file cannot be opened, or the platform has no locks (``ENOTSUP``); ``FileNotFoundError`` for a shared lock
            on a file that does not exist.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this platform has no file locks")
    access = os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT
    # A pipe in the file's place must not make the process wait for its other end.
    descriptor = os.open(path, access | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=folder)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return FileLock(descriptor)
