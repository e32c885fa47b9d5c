"""Snapshots -> bodies: picks the encoder of a format and cuts what it writes into pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from telemetry.exposition import openmetrics2, text
from telemetry.exposition.encoding import Style
from telemetry.exposition.families import Families
from telemetry.exposition.negotiation import Format
from telemetry.metricdata.stream import Snapshot

__all__ = ["render"]

_PIECE_CHARACTERS = 1 << 16


def render(families: Families, snapshot: Snapshot, style: Style) -> Iterator[bytes]:
    """Yields the body in pieces of about 64 KiB. State is read, and families change, while the next piece is asked for."""
    shown = families.update(snapshot)
    encoder = openmetrics2 if style.format is Format.OPENMETRICS_2 else text
    yield from _pieces(encoder.texts(families, shown, style))


def _pieces(texts: Iterable[str]) -> Iterator[bytes]:
    parts: list[str] = []
    size = 0
    for part in texts:
        parts.append(part)
        size += len(part)
        if size >= _PIECE_CHARACTERS:
            yield "".join(parts).encode()
            parts.clear()
            size = 0
    if parts:
        yield "".join(parts).encode()
