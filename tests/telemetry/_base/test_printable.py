"""Text of others in one printable line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry._base.printable import printable


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("not found", "not found"),
        ("two\r\nlines\u2028more", "two lines more"),
        ("\x1b[31mred\x00", "\ufffd[31mred\ufffd"),
        ("\ud800", "\ufffd"),
        ("naïve 日本", "naïve 日本"),
        (ValueError("wrong"), "wrong"),
        ("", ""),
    ],
)
def test_one_line(text: object, line: str) -> None:
    """White space is one space, and what cannot be printed is U+FFFD."""
    assert printable(text) == line


def test_long_text_is_cut() -> None:
    """A text above the limit ends in an ellipsis within the limit."""
    assert printable("x" * 501) == "x" * 499 + "…"
    assert printable("x" * 500) == "x" * 500
    assert printable("abcdef", limit=4) == "abc…"


def test_a_large_text_is_not_read_through() -> None:
    """What follows a long run of white space is cut away with it."""
    assert printable(" " * 10_000 + "end") == "…"


def test_an_object_without_text() -> None:
    """An object whose ``__str__`` raises is named by its class."""

    class Silent:
        def __str__(self) -> str:
            raise RuntimeError

    assert printable(Silent()) == "Silent"


@given(st.text(), st.integers(1, 50))
def test_bounds(text: str, limit: int) -> None:
    """Every text becomes one printable line within the limit, and such a line stays as it is."""
    line = printable(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert printable(line, limit) == line
