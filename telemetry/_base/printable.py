"""Text that others wrote, made fit for a log line, a span and an exception's message."""

from __future__ import annotations

__all__ = ["printable"]


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
