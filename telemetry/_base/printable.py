"""Text that others wrote: whether it can be used, and what a log line, a span or an exception's message shows of it."""

from __future__ import annotations

__all__ = ["is_encodable", "is_id", "is_text", "printable", "shown"]


def printable(text: object, limit: int = 500) -> str:
    """Returns ``str(text)`` in one line of printable characters, at most ``limit`` of them.

    A run of white space becomes one space, and every other character that is not printable (control characters, escape
    sequences, lone surrogates, line separators) becomes U+FFFD. A text that is cut ends in ``…``. Never raises: an object
    that has no text of its own is named by its class.
    """
    try:
        found = str(text)
    except Exception:
        found = type(text).__name__
    words = " ".join(found[: 4 * limit].split())  # bounded before it is read through
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)
    return line if len(line) <= limit and len(found) <= 4 * limit else f"{line[: limit - 1]}…"


def shown(value: object, limit: int = 200) -> str:
    """Returns the value for an error: in quotes if it is text, in one line, cut after ``limit`` characters."""
    return repr(printable(value, limit)) if isinstance(value, str) else printable(value, limit)


def is_text(value: str) -> bool:
    """Returns whether the text can be encoded and has no control characters."""
    return is_encodable(value) and not any(character < " " for character in value)


def is_id(value: str, longest: int = 256) -> bool:
    """Returns whether the text is an id that a span or a log line can show: printable, of 1 to ``longest`` characters."""
    return 0 < len(value) <= longest and value.isprintable()


def is_encodable(value: str) -> bool:
    """Returns whether the text has no lone surrogates, as bytes of the environment become that are not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
