"""Estimates of tokens that a provider did not report."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Estimate", "quarter_of_bytes"]

Estimate = Callable[[str], float]
"""Tokens of a piece of text, whole or not; those of a text's pieces are added up, and rounded up at its end."""


def quarter_of_bytes(text: str) -> float:
    """Returns a quarter of the text's bytes in UTF-8.

    Providers' rule of thumb is four characters of English a token
    (https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them). Bytes are counted because vocabularies
    are built from bytes: where a character takes more of them, it takes more tokens too. How far off it is: ``docs/models.md``.
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size / 4
