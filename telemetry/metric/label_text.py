"""What is given for a label, as text: as its value, and as an error message shows it."""

from __future__ import annotations

from enum import Enum

__all__ = ["shown", "text_of"]


def text_of(value: object) -> str | None:
    """The label value that ``value`` stands for, None where there is none.

    Strings stand for themselves, enum members for their value, numbers and booleans for their JSON spelling, bytes for the
    UTF-8 text in them. None, and whatever has no UTF-8 form, stands for nothing.
    """
    if type(value) is str and value.isascii():
        return value
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, int | float):
        try:
            return str(value)
        except ValueError:  # more digits than Python spells out
            return None
    if not isinstance(value, str):
        return None
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return None
    return str(value)


def shown(value: object) -> str:
    """``value`` in an error message: its repr, where it has one, and not more than 80 characters of it."""
    try:
        text = repr(value)
    except Exception as error:  # whatever was given, naming it must not fail
        text = f"a {type(value).__name__} without a repr ({type(error).__name__})"
    return text if len(text) <= 80 else f"{text[:77]}..."
