"""Snapshots -> bodies: picks the encoder of a format and cuts what it writes into pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from telemetry.exposition import text
from telemetry.exposition.encoding import Style
from telemetry.exposition.families import Families, Family
from telemetry.exposition.negotiation import Format
from telemetry.metricdata.stream import Snapshot

__all__ = ["render"]

T = TypeVar("T", str, bytes)
_PIECE = 1 << 14
"""Small against the shortest long bodies; what is sent is joined to larger chunks (``answer``)."""


def render(families: Families, snapshot: Snapshot, style: Style) -> Iterator[bytes]:
    """Yields the body in pieces of at least 16 KiB, but for the last one. State is read while the next piece is asked for."""
    shown = families.update(snapshot)
    if style.format is Format.PROTOBUF:
        from telemetry.exposition.protobuf import messages  # loads with the first body of its format

        for written in _gathered(messages(families, shown, style)):
            yield _joined(written, b"")
        return
    for parts in _gathered(_encoder(style.format)(families, shown, style)):
        yield _joined(parts, "").encode()


def _encoder(format_: Format) -> Callable[[Families, Sequence[Family], Style], Iterator[str]]:
    if format_ is Format.OPENMETRICS_2:
        from telemetry.exposition.openmetrics2 import texts  # loads with the first body of its format

        return texts
    return text.texts


def _joined(parts: list[T], nothing: T) -> T:
    """Joins the parts, which are held no longer: a body that waits for its client is one piece."""
    whole = nothing.join(parts)
    parts.clear()
    return whole


def _gathered(parts: Iterable[T]) -> Iterator[list[T]]:
    """Yields the parts in lists of the size of a piece."""
    gathered: list[T] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= _PIECE:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered
