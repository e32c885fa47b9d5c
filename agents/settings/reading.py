"""How text and files of settings are read: bounded, and never hanging."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from telemetry._base.regular_file import read_regular_file

__all__ = ["LARGEST", "parse_json", "read_text"]

LARGEST = 10**12
"""Largest whole number of a setting: far below int64, and below what a float counts exactly."""
_JSON_CHARACTERS = 2**20
_FILE_BYTES = 2**24


def parse_json(text: str, parse_number: Callable[[str], Any] | None = None) -> Any:
    """Returns the content of a JSON text of at most 1 MiB, whose objects have each name once.

    Args:
        text: The text.
        parse_number: Makes the numbers; by default int, of at most 20 digits, and float.

    Raises:
        ValueError: It is no such JSON. The message holds nothing of the text.
    """
    if len(text) > _JSON_CHARACTERS:
        raise ValueError("it has more than 1048576 characters")
    try:
        found = json.loads(
            text,
            parse_int=parse_number or _integer,
            parse_float=parse_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
        json.dumps(found, ensure_ascii=False, default=str).encode()  # refuses lone surrogates
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON, see line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("it has half a surrogate pair") from None
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a number has more than 20 digits")
    return int(digits)


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


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
