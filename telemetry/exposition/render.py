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
_PIECE = 1 << 16


def render(families: Families, snapshot: Snapshot, style: Style) -> Iterator[bytes]:
    """Yields the body in pieces of about 64 KiB. State is read, and families change, while the next piece is asked for."""
    shown = families.update(snapshot)
    if style.format is Format.PROTOBUF:
        yield from map(b"".join, _gathered(protobuf.messages(families, shown, style)))
        return
    encoder = openmetrics2 if style.format is Format.OPENMETRICS_2 else text
    for parts in _gathered(encoder.texts(families, shown, style)):
        yield "".join(parts).encode()


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
