"""The processes of a run: whose run a worker belongs to.

A run lasts as long as its supervisor: uvicorn's or gunicorn's parent process, or the process that forks or uses
``multiprocessing``. Its directory has, for each worker, a lock (held until the process ends, however it ends), a socket and a
state; and the folded state of the ended workers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from telemetry.prefork.parent import FORK_SERVER, command_line, is_made_by, is_worker, parent_by_multiprocessing, parent_id

__all__ = ["StateDirectoryError", "Supervisor", "ended_parent", "forebears", "place"]

_RUN = re.compile(r"([0-9]+)-([0-9]+-(?:[0-9a-f]{8}-[0-9]+|0-0))")
_MAX_DEPTH = 64


class StateDirectoryError(ValueError):
    """The state directory cannot be used; the message names its path and the reason."""


class Supervisor(NamedTuple):
    """A process, and when and where it started: process ids are reused."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Returns the process with this id, or None."""
        fields = _stat(pid)
        if fields is None:
            if Path("/proc/self/stat").exists() or not _exists(pid):
                return None
            fields = ["0"] * 20  # without /proc the id has to suffice
        return cls(pid, f"{fields[19]}-{place()}")

    @classmethod
    def of_this_process(cls) -> Self:
        """Returns the process above all workers that this one descends from; this process, where it is no worker."""
        *_, top = (os.getpid(), *forebears())
        return cls.of(top) or cls.of(os.getpid()) or cls(os.getpid(), f"0-{place()}")

    @classmethod
    def of_run(cls, run: str) -> Self | None:
        """Returns the supervisor of the run whose directory has this name, None for any other name."""
        found = _RUN.fullmatch(run)
        return None if found is None else cls(int(found[1]), found[2])

    @property
    def run(self) -> str:
        """The name of its run's directory."""
        return f"{self.pid}-{self.started}"

    @property
    def place(self) -> str:
        """The boot and the container that it runs in."""
        return self.started.partition("-")[2]


def forebears() -> Iterator[int]:
    """The process that made this worker, the one that made that one, and so on up to the first that is no worker.

    A child of multiprocessing's fork server is a child of that server, but was made by the process that asked for it.
    """
    parent = parent_by_multiprocessing()
    pid: int | None = parent_id() if is_worker() else None
    if parent is not None and parent.is_alive():  # else another process may have its id
        pid = parent.pid
    elif parent is not None and FORK_SERVER not in command_line(parent_id()):
        pid = None
    for _ in range(_MAX_DEPTH):
        if pid is None:
            return
        yield pid
        fields = _stat(pid)
        above = int(fields[1]) if fields else 0
        pid = above if above > 0 and is_made_by(pid, above) else None


def ended_parent() -> int | None:
    """Returns the process that made this one by ``multiprocessing``, if it has ended."""
    parent = parent_by_multiprocessing()
    return None if parent is None or parent.is_alive() else parent.pid


def _stat(pid: int) -> list[str] | None:
    """The process's state, parent and so on; the start is the 20th field (proc_pid_stat(5), from its third field)."""
    try:
        # The name in parentheses may hold spaces, parentheses and bytes that are no text.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None


def _exists(pid: int) -> bool:
    """Asks the kernel, where that is harmless: on Windows signal 0 is no question."""
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
    return True


def place() -> str:
    """Identifies this boot of this machine, and this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return "0-0"
