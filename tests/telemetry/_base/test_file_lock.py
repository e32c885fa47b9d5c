"""Locks between processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry._base.file_lock import FileLock, lock_file


def locked(path: Path, *, shared: bool = False) -> FileLock:
    """The lock, which must be free."""
    lock = lock_file(path, shared=shared)
    assert lock is not None
    return lock


def test_an_exclusive_lock_has_one_holder(tmp_path: Path) -> None:
    """A held lock is refused until its holder releases it; the file is private to the user."""
    path = tmp_path / "lock"
    first = locked(path)
    assert lock_file(path) is lock_file(path, shared=True) is None
    first.release()
    locked(path).release()
    assert path.stat().st_mode & 0o777 == 0o600


def test_shared_locks_exist_beside_each_other(tmp_path: Path) -> None:
    """Shared locks keep exclusive ones out, and each other not; they never create the file."""
    path = tmp_path / "lock"
    with pytest.raises(FileNotFoundError):
        lock_file(path, shared=True)
    path.touch()
    first, second = locked(path, shared=True), locked(path, shared=True)
    first.release()
    assert lock_file(path) is None
    second.release()
    locked(path).release()


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """Locking a link raises ``OSError``."""
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        lock_file(tmp_path / "link")
