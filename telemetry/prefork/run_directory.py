"""The runs of a state directory: each one's directory is made whole, found by its workers, and removed when it has ended.

The state directory may be any directory of this user, also one that holds other things. A run's directory has a marker in it
before it has its name, and only what is certainly ours is ever removed: a directory of this user with a run's name and with
the marker of this version, whose supervisor has ended and none of whose workers lives; and in it only files with names of ours.
What else lies in it stays, and so does the directory. Symbolic links are not followed.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from telemetry._base.file_lock import has_file_locks, lock_file
from telemetry._base.printable import printable
from telemetry.prefork.parent import is_worker
from telemetry.prefork.run import StateDirectoryError, Supervisor, ended_parent, forebears, place
from telemetry.prefork.state_directory import MARKER, is_own_file, worker_of_lock

__all__ = ["default_directory", "missing_on_this_platform", "open_run", "supervisor_in"]

_MARKER_CONTENT = b"agentos-telemetry-run 1\nMade by AgentOS telemetry, which removes this directory after the run has ended.\n"
_UNFINISHED = re.compile(r"(.+)\.([0-9]+)-[0-9a-f]{8}\.new")
_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_IDLE_SECONDS = 3600.0
"""Idle time after which a run counts as ended whose supervisor this process cannot see, because it is in another container."""
_NAMES_TOLD = 5

_log = logging.getLogger("telemetry")


def default_directory() -> Path:
    """Returns the default directory of this user's states."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"agentos-telemetry-{os.getuid()}"


def missing_on_this_platform() -> str:
    """Returns why several workers cannot share one /metrics here, as one sentence without its full stop; else an empty text."""
    needed = {
        "file locks": has_file_locks(),
        "Unix sockets": hasattr(socket, "AF_UNIX"),
        "user ids": hasattr(os, "getuid"),
        "paths relative to a descriptor": os.open in os.supports_dir_fd,
    }
    missing = " and ".join(what for what, has in needed.items() if not has)
    return f"several workers behind one /metrics need {missing}, which this platform does not have" if missing else ""


def open_run(directory: Path, supervisor: Supervisor) -> Path:
    """Returns the run's own directory, which is made if it is missing; removes the directories of ended runs.

    Raises:
        StateDirectoryError: ``directory`` cannot be used, other users could enter it, or the platform lacks what workers need.
    """
    if missing := missing_on_this_platform():
        raise StateDirectoryError(missing)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not stat.S_ISDIR(directory.lstat().st_mode):
            raise StateDirectoryError(f"{directory} must be a directory of this user with mode 0700")
        with _opened(directory) as folder:
            if not _is_private(folder):
                raise StateDirectoryError(f"{directory} must be a directory of this user with mode 0700")
            _remove_ended(directory, folder, supervisor)
            if supervisor.run not in _names(folder):
                _make_run(folder, supervisor.run)
            with _opened(supervisor.run, folder) as run:
                _check_run(directory / supervisor.run, run)
    except OSError as error:
        raise StateDirectoryError(f"{directory} cannot be used: {error.strerror}") from None
    return directory / supervisor.run


def supervisor_in(directory: Path) -> Supervisor:
    """Returns the supervisor of the run in ``directory`` that this process belongs to.

    That is the run in which a process lives that this worker descends from. A worker whose parent has ended belongs to that
    parent's run while other workers live in it.
    """
    if not is_worker():
        return Supervisor.of_this_process()
    runs = _living_runs(directory)
    for pid in forebears():
        for supervisor, workers in runs:
            if str(pid) in workers:
                return supervisor
    orphaned = [supervisor for supervisor, _ in runs if supervisor.pid == ended_parent()]
    return orphaned[0] if orphaned else Supervisor.of_this_process()


def _living_runs(directory: Path) -> list[tuple[Supervisor, set[str]]]:
    """The runs of this place that have living workers, with the process ids of these."""
    found = []
    with suppress(OSError), _opened(directory) as folder:
        for name in _names(folder):
            supervisor = Supervisor.of_run(name)
            if supervisor is not None and supervisor.place == place():
                with suppress(OSError), _opened(name, folder) as run:
                    if _has_marker(run) and (workers := _living_workers(run)):
                        found.append((supervisor, {worker.partition("-")[0] for worker in workers}))
    return found


def _make_run(folder: int, run: str) -> None:
    """Makes the run's directory under another name, so that it is never seen without its marker. Others may be faster."""
    unfinished = f"{run}.{os.getpid()}-{uuid4().hex[:8]}.new"
    os.mkdir(unfinished, 0o700, dir_fd=folder)
    try:
        with _opened(unfinished, folder) as made:
            _write_marker(made)
        os.rename(unfinished, run, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        _remove(unfinished, folder)
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _check_run(path: Path, run: int) -> None:
    """Raises ``StateDirectoryError`` where this run's directory is not ours, ``OSError`` where no file can be made in it."""
    if not _is_private(run):
        raise StateDirectoryError(f"{path} must be a directory of this user with mode 0700")
    if not _has_marker(run):
        _adopt(path, run)
    probe = f"probe-{uuid4().hex[:8]}"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=run))
    os.unlink(probe, dir_fd=run)


def _adopt(path: Path, run: int) -> None:
    """Marks this run's directory where it was made by a version without markers, and holds nothing else."""
    with suppress(FileNotFoundError):
        if os.stat(MARKER, dir_fd=run, follow_symlinks=False).st_size and not _has_marker(run):
            raise StateDirectoryError(f"{path} has the name of this run, and the marker of another version")
    if foreign := sorted(name for name in _names(run) if not is_own_file(name)):
        raise StateDirectoryError(f"{path} has the name of this run, and holds what is not ours: {_told(foreign)}")
    _write_marker(run)


def _write_marker(run: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(MARKER, flags, 0o600, dir_fd=run)
    try:
        if os.write(descriptor, _MARKER_CONTENT) < len(_MARKER_CONTENT):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _has_marker(run: int) -> bool:
    """Whether an opened directory is of this user and has the marker of this version."""
    if os.fstat(run).st_uid != os.getuid():
        return False
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(MARKER, flags, dir_fd=run)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            return False
        return os.read(descriptor, len(_MARKER_CONTENT) + 1) == _MARKER_CONTENT
    finally:
        os.close(descriptor)


def _remove_ended(directory: Path, folder: int, supervisor: Supervisor) -> None:
    """Removes the directories of ended runs, and says so; also says which ones look like one but are left alone."""
    unmarked, kept = [], []
    for name in sorted(_names(folder)):
        if name == supervisor.run or not _may_have_ended(name):
            continue
        with suppress(OSError), _opened(name, folder) as run:
            if not _has_marker(run):
                if not _remove_empty(name, folder, run):
                    unmarked.append(name)
            elif _has_no_worker(name, run):
                removed, left = _remove(name, folder)
                if removed:
                    _log.warning("removed %s, the state of an ended run: %d files", printable(directory / name), removed)
                if left:
                    kept.append(f"{name} ({', '.join(left[:_NAMES_TOLD])})")
    with suppress(OSError):
        unmarked = sorted({*unmarked} & {*_names(folder)})  # another process may have removed them between two looks
    if unmarked:
        _log.warning("left alone in %s, without the marker of this version: %s", printable(directory), _told(unmarked))
    if kept:
        _log.warning("left in %s, because the files in it are not ours: %s", printable(directory), _told(kept))


def _remove_empty(name: str, folder: int, run: int) -> bool:
    """Removes what a start left that was killed before it had written the marker: an empty directory of this user."""
    if _UNFINISHED.fullmatch(name) is None or os.fstat(run).st_uid != os.getuid():
        return False
    try:
        os.rmdir(name, dir_fd=folder)  # fails where the directory holds anything
    except OSError:
        return False
    return True


def _told(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    return printable(", ".join(names[:_NAMES_TOLD])) + more


def _may_have_ended(name: str) -> bool:
    """Whether this is the name of a run whose supervisor does not live here, or of one whose making was broken off."""
    unfinished = _UNFINISHED.fullmatch(name)
    supervisor = Supervisor.of_run(unfinished[1] if unfinished else name)
    if supervisor is None:
        return False
    if supervisor.place != place():
        return True
    return Supervisor.of(int(unfinished[2])) is None if unfinished else Supervisor.of(supervisor.pid) != supervisor


def _has_no_worker(name: str, run: int) -> bool:
    """Whether none of its workers lives. Where its supervisor cannot be seen from here, nothing has changed for long, too."""
    if _living_workers(run):
        return False
    if f"-{place()}" in name:
        return True
    changed = [os.stat(each, dir_fd=run, follow_symlinks=False).st_mtime for each in _names(run)]
    return time.time() - max([os.fstat(run).st_mtime, *changed]) > _IDLE_SECONDS


def _living_workers(run: int) -> list[str]:
    """The workers that hold their locks. Raises ``OSError`` where that cannot be told."""
    living = []
    for name in _names(run):
        if worker := worker_of_lock(name):
            try:
                lock = lock_file(name, shared=True, folder=run)
            except FileNotFoundError:
                continue
            if lock is None:
                living.append(worker)
            else:
                lock.release()
    return living


def _remove(name: str, folder: int) -> tuple[int, list[str]]:
    """Removes a run's own files and then its directory. Returns how many files were removed, and the names of what is left.

    The marker goes last: a directory that holds something else keeps it. Another process may remove the same run.
    """
    removed = 0
    with _opened(name, folder) as run:
        for each in _names(run):
            if each != MARKER and _is_removable(each, run):
                with suppress(OSError):
                    os.unlink(each, dir_fd=run)
                    removed += 1
        left = [each for each in _names(run) if each != MARKER]
        if not left:
            with suppress(OSError):
                os.unlink(MARKER, dir_fd=run)
                removed += 1
            with suppress(OSError):
                os.rmdir(name, dir_fd=folder)
    return removed, left


def _is_removable(name: str, run: int) -> bool:
    with suppress(OSError):
        found = os.stat(name, dir_fd=run, follow_symlinks=False)
        ours = stat.S_ISREG(found.st_mode) or stat.S_ISSOCK(found.st_mode)
        return is_own_file(name) and ours and found.st_uid == os.getuid()
    return False


def _names(folder: int) -> list[str]:
    return os.listdir(folder)  # by descriptor, so that a link put in its place is not followed


def _is_private(folder: int) -> bool:
    found = os.fstat(folder)
    return found.st_uid == os.getuid() and not found.st_mode & 0o077


@contextmanager
def _opened(path: Path | str, folder: int | None = None) -> Iterator[int]:
    """The descriptor of a directory; a symbolic link is refused."""
    descriptor = os.open(path, os.O_RDONLY | _DIRECTORY, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
