"""What the encoders of all formats share: the options of a body, its pieces, and the way over a stream's series.

A body leaves the encoder in pieces of some hundred series, so that a scrape never holds it whole and other threads run in
between. The state that is read is the one of the moment in which its piece is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from telemetry.exposition.families import Family, FamilyStream
from telemetry.exposition.labels import quoted
from telemetry.exposition.negotiation import Format
from telemetry.metric.naming import is_plain
from telemetry.metricdata.stream import Stream

__all__ = [
    "SERIES_PER_PIECE",
    "Series",
    "Style",
    "has_exemplars",
    "heads",
    "sample_names",
    "series_at",
    "series_of",
    "shows_sum",
]

SERIES_PER_PIECE = 128


class Style(NamedTuple):
    """Options of one body."""

    format: Format = Format.TEXT
    exemplars: bool = True
    created: bool = False
    """Whether OpenMetrics 1.0 shows each series' start as ``_created``."""
    names: Collection[str] = ()
    """Sample names to show; empty: all."""
    split: bool = False
    """Whether each native histogram with exemplars has a protobuf message of its own."""

    @property
    def shows_exemplars(self) -> bool:
        """Whether the format has exemplars and they are wanted."""
        return self.exemplars and self.format not in (Format.TEXT, Format.TEXT_1)


Series = tuple[int, str, Any, Any]
"""Position in the stream, label text, state, and exemplars or None."""


def series_of(member: FamilyStream, style: Style, *, native: bool = False) -> Iterator[list[Series]]:
    """Yields the series that are shown, some at a time; each list is read from the state when it is asked for.

    Args:
        member: The stream in its family.
        style: The body's options.
        native: Whether the states of a histogram with both forms have the native one (``Stream.slice``).
    """
    with_exemplars = has_exemplars(member, style)
    # Shorter pieces with exemplars: so few new objects at a time do not start the garbage collector.
    size = SERIES_PER_PIECE // 4 if with_exemplars else SERIES_PER_PIECE
    all_texts = member.texts  # another scrape may append to the list, or put another one in its place
    end = len(all_texts)
    for start in range(0, end, size):
        texts = all_texts[start : min(start + size, end)]
        yield series_at(member.stream, start, texts, exemplars=with_exemplars, native=native)


def series_at(
    stream: Stream, start: int, texts: Sequence[str | None], *, exemplars: bool, native: bool = False
) -> list[Series]:
    """Returns those of some series that are shown, as their state is now.

    Args:
        stream: Their stream.
        start: The position of the first.
        texts: Their label texts.
        exemplars: Whether their exemplars are wanted.
        native: As for ``series_of``.
    """
    states, found = stream.slice(start, start + len(texts), exemplars=exemplars, native=native)
    get = found.get
    return [
        (index, text, state, get(index))
        for index, text, state in zip(range(start, start + len(texts)), texts, states, strict=True)
        if state is not None and text is not None
    ]


def has_exemplars(member: FamilyStream, style: Style) -> bool:
    """Whether the body shows exemplars of the stream's series."""
    return style.shows_exemplars and member.family.type in ("counter", "histogram")


def shows_sum(bounds: Sequence[float], total: float) -> bool:
    """Whether a classic histogram has ``_sum`` and ``_count``: only if no value can be negative, else the sum could fall."""
    return (not bounds or bounds[0] >= 0) and total >= 0


def heads(name: str) -> tuple[str, str]:
    """Returns the beginning of a sample with labels, and of a sample without."""
    return (name + "{", name) if is_plain(name) else ("{" + quoted(name) + ",", "{" + quoted(name) + "}")


def sample_names(family: Family, openmetrics: bool) -> set[str]:
    """Returns every name that a sample of the family may have in text 0.0.4 or OpenMetrics 1.0."""
    name = family.name
    if family.type == "histogram":
        return {f"{name}_{suffix}" for suffix in ("bucket", "sum", "count", "created")}
    sample = sample_name(family, openmetrics)
    return {sample, f"{name}_created"} if family.type == "counter" else {sample}


def sample_name(family: Family, openmetrics: bool) -> str:
    """Returns the name of the family's samples, where a series has one sample."""
    if openmetrics and family.type in ("counter", "info"):
        return family.name + {"counter": "_total", "info": "_info"}[family.type]
    return family.text_name
