"""Archives whose bytes depend only on what they hold: names in order, one time, no owner, no mode of the building machine."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["read", "write"]


def read(path: Path) -> dict[str, bytes]:
    """Returns the files of a tar archive by their names."""
    with tarfile.open(path) as archive:
        return {member.name: _content(archive, member) for member in archive.getmembers() if member.isfile()}


def write(path: Path, files: Mapping[str, bytes], epoch: int) -> None:
    """Writes files, by their names, to a gzip-compressed tar archive."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(files[name]), epoch, 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=epoch) as compressed:
        compressed.write(held.getvalue())


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, f"{member.name} is a file"
    return file.read()
