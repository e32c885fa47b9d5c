"""The run that workers belong to, and its directory.

A run lasts as long as its supervisor: uvicorn's or gunicorn's parent process, or the process that forks. Its directory has, for
each worker, a lock (held until the process ends, however it ends), a socket and a state; and the folded state of the ended
workers. The next run removes the directory of a run whose supervisor has ended.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

__all__ = ["StateDirectoryError", "Supervisor", "default_directory", "is_worker", "open_run"]

_IDLE_SECONDS = 3600.0
"""Idle time after which a run counts as ended whose supervisor this process cannot see, because it is in another container."""


class StateDirectoryError(ValueError):
    """The state directory cannot be used; the message names its path and the reason."""


class Supervisor(NamedTuple):
    """A process, and when and where it started: process ids are reused."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Returns the process with this id, or None."""
        try:
            # The name in parentheses may hold spaces; the start is the 20th field behind it (proc_pid_stat(5)).
            started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except FileNotFoundError:
            if Path("/proc/self/stat").exists():
                return None
            started = "0"  # without /proc the id has to suffice
        return cls(pid, f"{started}-{_place()}")

    @classmethod
    def of_this_process(cls) -> Self:
        """Returns the parent of a worker; else this process, whose forked children are workers."""
        found = cls.of(os.getppid()) if is_worker() else cls.of(os.getpid())
        return found or cls(os.getpid(), f"0-{_place()}")

    @property
    def run(self) -> str:
        """The name of its run's directory."""
        return f"{self.pid}-{self.started}"


def is_worker() -> bool:
    """Whether this process is one of several that a parent started.

    The parent uses ``multiprocessing``, as servers with ``--workers`` do, or forks itself, as gunicorn does: then both have the
    same command line.
    """
    if multiprocessing.parent_process() is not None:
        return True
    own, parents = _command(os.getpid()), _command(os.getppid())
    forked_by_gunicorn = own.startswith(b"gunicorn: worker") and parents.startswith(b"gunicorn: master")
    return bool(own) and (own == parents or forked_by_gunicorn)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _place() -> str:
    """Identifies this boot of this machine, and this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return "0-0"


def default_directory() -> Path:
    """Returns the default directory of this user's states."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"agentos-telemetry-{os.getuid()}"


def open_run(directory: Path, supervisor: Supervisor) -> Path:
    """Returns the run's own directory, which is made if it is missing; removes the directories of ended runs.

    Raises:
        StateDirectoryError: ``directory`` cannot be used, or other users could enter it.
    """
    if sys.platform == "win32":
        raise StateDirectoryError("several workers behind one /metrics need Unix sockets and file locks")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise StateDirectoryError(f"{directory} must be a directory of this user with mode 0700")
        for other in directory.iterdir():
            if other.name != supervisor.run and _has_ended(other):
                shutil.rmtree(other, ignore_errors=True)
        run = directory / supervisor.run
        run.mkdir(mode=0o700, exist_ok=True)
        probe = run / f"probe-{uuid.uuid4().hex[:8]}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StateDirectoryError(f"{directory} cannot be used: {error.strerror}") from None
    return run


def _has_ended(run: Path) -> bool:
    """Whether this is the directory of a run whose supervisor has ended."""
    pid, _, started = run.name.partition("-")
    _, _, place = started.partition("-")
    if not pid.isdigit() or not place:
        return False
    if place == _place():
        supervisor = Supervisor.of(int(pid))
        return supervisor is None or supervisor.run != run.name
    with suppress(OSError):
        return time.time() - max(file.stat().st_mtime for file in (run, *run.iterdir())) > _IDLE_SECONDS
    return False
