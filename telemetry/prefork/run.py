"""The run that workers belong to, and its directory.

A run is the life of a supervisor: of uvicorn's or gunicorn's parent process, or of the process that forks. Its directory holds,
for each worker, a lock (held for as long as the process lives, whatever ends it), a socket and a state; and the folded state of
the workers that ended. The directory of a run whose supervisor has ended is removed by the next one.
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

_UNJUDGED_SECONDS = 3600.0
"""Idle time after which the run of a supervisor that cannot be seen from here (another container's) counts as ended."""


class StateDirectoryError(ValueError):
    """The state directory cannot be used; one sentence with its path and what is needed."""


class Supervisor(NamedTuple):
    """A process and when it started: a process id alone comes again."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process with this id, None where there is none."""
        try:
            # The name in parentheses may hold spaces; the start is the 20th field behind it (proc_pid_stat(5)).
            started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except FileNotFoundError:
            if Path("/proc/self/stat").exists():
                return None
            started = "0"  # no /proc on this system: the id has to do
        return cls(pid, f"{started}-{_place()}")

    @classmethod
    def of_this_process(cls) -> Self:
        """The parent where it is one that starts workers, else this process: what it forks are its workers."""
        found = cls.of(os.getppid()) if is_worker() else cls.of(os.getpid())
        return found or cls(os.getpid(), f"0-{_place()}")

    @property
    def run(self) -> str:
        """The name of its run."""
        return f"{self.pid}-{self.started}"


def is_worker() -> bool:
    """Whether another process started this one as one of several: by ``multiprocessing``, as servers with ``--workers`` do,
    or by forking itself, as gunicorn does: then both have the same command line.
    """
    if multiprocessing.parent_process() is not None:
        return True
    mine, parents = _command(os.getpid()), _command(os.getppid())
    return bool(mine) and (
        mine == parents or (mine.startswith(b"gunicorn: worker") and parents.startswith(b"gunicorn: master"))
    )


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _place() -> str:
    """This boot of this machine, and this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return "0-0"


def default_directory() -> Path:
    """Where this user's states are kept unless set otherwise."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"agentos-telemetry-{os.getuid()}"


def open_run(directory: Path, supervisor: Supervisor) -> Path:
    """The run's own directory, made where it is not there yet; directories of ended runs are removed.

    Raises ``StateDirectoryError`` unless ``directory`` is, or can become, one that only this user can enter.
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
    """Whether this is the directory of a run whose supervisor is gone."""
    pid, _, place = run.name.partition("-")
    _, _, where = place.partition("-")
    if not pid.isdigit() or not where:
        return False
    if where == _place():
        alive = Supervisor.of(int(pid))
        return alive is None or alive.run != run.name
    with suppress(OSError):
        return time.time() - max(file.stat().st_mtime for file in (run, *run.iterdir())) > _UNJUDGED_SECONDS
    return False
