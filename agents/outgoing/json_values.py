"""How many values a JSON document has, without parsing it: to refuse one that would hold the event loop for too long."""

from __future__ import annotations

__all__ = ["MOST_VALUES", "count_values"]

MOST_VALUES = 100_000
"""Values that a document may have: ``json`` takes up to 1 us for each, Protocol Buffers, whose JSON is in Python, 5 to 10."""


def count_values(text: str, limit: int = MOST_VALUES) -> int:
    """Returns how many values JSON has at most, exact enough to tell whether they are more than ``limit``.

    It is not parsed: commas and opening brackets outside strings are counted, of which each value but the outermost has one.
    That takes 10 to 20 ms for 1 MiB.
    """
    if (count := _marks(text)) <= limit:
        return count
    text = text.replace("\\\\", "").replace('\\"', "")  # every quotation mark that is left begins or ends a string
    return limit + 1 if text.count('"') > 4 * (limit + 1) else _marks("".join(text.split('"')[::2]))


def _marks(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")
