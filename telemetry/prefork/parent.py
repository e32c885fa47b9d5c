"""Which process made this one, and whether that makes it a worker.

Each process that makes a ``Telemetry`` asks this, so the module imports no other of the room.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess

__all__ = ["FORK_SERVER", "command_line", "is_forked", "is_made_by", "is_worker", "parent_by_multiprocessing", "parent_id"]

_SPAWNED = b"--multiprocessing-fork"
"""Argument of every process that ``multiprocessing`` spawns."""
FORK_SERVER = b"from multiprocessing.forkserver import main"
"""In the command line of the fork server, and of its children, which run no program of their own."""


def is_worker() -> bool:
    """Whether this process is one of several that a parent started.

    The parent uses ``multiprocessing``, as servers with ``--workers`` do, or forks itself, as gunicorn does: then both have the
    same command line.
    """
    return parent_by_multiprocessing() is not None or is_made_by(os.getpid(), parent_id())


def is_forked() -> bool:
    """Whether this worker is a copy of the process that made it; one that was spawned has begun as a new program."""
    return is_worker() and _SPAWNED not in command_line(os.getpid()).split(b"\0")


def parent_by_multiprocessing() -> BaseProcess | None:
    """Returns the process that made this one by ``multiprocessing``; where it did, that package is loaded already."""
    process = sys.modules.get("multiprocessing.process")
    find: Callable[[], BaseProcess | None] | None = getattr(process, "parent_process", None)
    return None if find is None else find()  # another thread may be importing it for the first time


def is_made_by(pid: int, parent: int) -> bool:
    """Whether a process is a worker of its parent, told from outside by their command lines.

    A child of ``fork`` has its parent's. Another program, also one that a worker starts, has a command line of its own.
    """
    own, parents = command_line(pid), command_line(parent)
    forked_by_gunicorn = own.startswith(b"gunicorn: worker") and parents.startswith(b"gunicorn: master")
    by_multiprocessing = _SPAWNED in own.split(b"\0") or FORK_SERVER in own
    return bool(own) and (own == parents or forked_by_gunicorn or by_multiprocessing)


def parent_id() -> int:
    """Returns the id of the parent process, 0 where the platform has none."""
    return os.getppid() if hasattr(os, "getppid") else 0


def command_line(pid: int) -> bytes:
    """Returns the arguments of a process, each before a null byte; nothing where it cannot be read."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - pathlib takes longer to load than all of this
            return file.read()
    except OSError:
        return b""
