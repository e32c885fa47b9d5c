"""Snapshots -> bodies: picks the encoder of a format and cuts what it writes into pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from telemetry.exposition import openmetrics2, protobuf, text
from telemetry.exposition.encoding import Style
from telemetry.exposition.families import Families
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
        for messages in _gathered(protobuf.messages(families, shown, style)):
            yield _joined(messages, b"")
        return
    encoder = openmetrics2 if style.format is Format.OPENMETRICS_2 else text
    for parts in _gathered(encoder.texts(families, shown, style)):
        yield _joined(parts, "").encode()


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
