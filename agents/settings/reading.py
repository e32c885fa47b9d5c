"""How files of settings are read, and what bounds their numbers."""

from __future__ import annotations

from pathlib import Path

from telemetry._base.regular_file import read_regular_file

__all__ = ["LARGEST", "read_text"]

LARGEST = 10**12
"""Largest whole number of a setting: far below int64, and below what a float counts exactly."""
_FILE_BYTES = 2**24


def read_text(path: str) -> str:
    """Returns the text of a regular file of at most 16 MiB.

    Raises:
        ValueError: It cannot be read; the message says why, without the path.
    """
    try:
        data = read_regular_file(Path(path), _FILE_BYTES)
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8") from None
