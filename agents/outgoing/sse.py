"""The lines of server-sent events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

__all__ = ["event_lines"]

_END = re.compile(r"\r\n|\n|\r")
"""Ends of lines (HTML standard, section 9.2.5). ``str.splitlines`` splits at U+2028, U+0085 and others too."""


async def event_lines(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yields the lines of a text that comes in pieces, without their ends and without a byte order mark at the beginning.

    Lines without a meaning are left out here, where they cost least: comments, and blank lines that end no event.
    """
    begun: list[str] = []
    first, after_return, in_event = True, False, False
    async for text in texts:
        if first and text:
            first, text = False, text.removeprefix("\ufeff")
        if after_return and text:
            after_return, text = False, text.removeprefix("\n")
        after_return = after_return or text.endswith("\r")
        head, *rest = _END.split(text)
        begun.append(head)
        if not rest:
            continue
        for line in ("".join(begun), *rest[:-1]):
            if line[:1] != ":" and (line or in_event):
                in_event = line != ""
                yield line
        begun = [rest[-1]]
    if last := "".join(begun):
        yield last
