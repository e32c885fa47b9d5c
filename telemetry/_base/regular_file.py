"""Reading of a small file that other programs write: bounded, and never waiting for a FIFO or a device."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["read_regular_file"]

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def read_regular_file(path: Path, limit: int) -> bytes:
    """Returns the content of a regular file with at most ``limit`` bytes; symbolic links are followed.

    Raises:
        OSError: It cannot be read, is larger, or is a directory, FIFO, socket or device; ``strerror`` says which.
    """
    try:
        _check_regular(path.stat())  # before it is opened: opening a device can have effects
    except ValueError:
        raise OSError(errno.EINVAL, "the path holds a NUL byte") from None
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        _check_regular(os.fstat(descriptor))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"the file has more than {limit} bytes")
    return data


def _check_regular(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
