"""JSON from operators and files: each name once, no NaN, bounded, and errors that quote nothing of the text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["parse_json"]

_CHARACTERS = 2**20


def parse_json(text: str, parse_number: Callable[[str], Any] | None = None) -> Any:
    """Returns the content of a JSON text of at most 1 MiB, whose objects have each name once.

    Args:
        text: The text.
        parse_number: Makes the numbers; by default int, of at most 20 digits, and float.

    Raises:
        ValueError: It is no such JSON. The message holds nothing of the text.
    """
    if len(text) > _CHARACTERS:
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
