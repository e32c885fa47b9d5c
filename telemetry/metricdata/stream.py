"""The seam between collecting and encoding: streams of series with their states, free of both SDK objects and text.

``collect -> Snapshot -> families -> text``. Whatever can make a ``Snapshot`` is rendered by the same encoder: the SDK's
state read directly (``telemetry._sdk.direct``), the public ``MetricsData`` (``points.py``), or the merged states of
several processes. Whoever makes readings keeps one ``Stream`` object per stream for as long as it lives and only ever
appends series to it: the encoder caches label text by stream and position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

__all__ = ["ExemplarPoint", "Exemplars", "ExponentialState", "HistogramState", "Snapshot", "State", "Stream", "StreamKind"]

Attributes = Mapping[str, Any]
Exemplars = Mapping[int, Sequence["ExemplarPoint | None"]]


class StreamKind(Enum):
    """What the numbers of a stream are, which decides their type in Prometheus."""

    COUNTER = "counter"
    """A monotonic cumulative sum."""
    GAUGE = "gauge"
    """A last value, or a sum that also falls."""
    HISTOGRAM = "histogram"
    """Explicit buckets: states are ``HistogramState``."""
    EXPONENTIAL = "exponential histogram"
    """Base-2 exponential buckets: states are ``ExponentialState``."""


class ExemplarPoint(NamedTuple):
    """One measurement that stands for its bucket."""

    value: float
    time_unix_nano: int
    trace_id: int | None
    span_id: int | None
    attributes: Attributes | None
    """Attributes of the measurement that the series does not have."""


HistogramState = tuple[Sequence[int], float]
"""Counts per bucket (not cumulative, one more than there are bounds) and the sum of the values."""


class ExponentialState(NamedTuple):
    """An exponential histogram; ``positive[i]`` counts values in (base**(offset+i), base**(offset+i+1)], base =
    2**2**-scale.
    """

    scale: int
    sum: float
    zero_count: int
    positive_offset: int
    positive: Sequence[int]
    negative_offset: int
    negative: Sequence[int]


State = float | HistogramState | ExponentialState


@dataclass(slots=True, eq=False)
class Stream:
    """One metric of one scope as one View shows it. ``attributes``, ``starts`` and ``values`` run in parallel, a
    series each.
    """

    scope: InstrumentationScope
    name: str
    description: str
    unit: str
    kind: StreamKind
    bounds: Sequence[float] = ()
    """Upper bounds of a ``HISTOGRAM``'s buckets, without infinity."""
    attributes: list[Attributes] = field(default_factory=list)
    starts: list[int | None] = field(default_factory=list)
    """When each series began, in Unix nanoseconds."""
    values: list[Any] = field(default_factory=list)
    """Each series' ``State`` at this reading; None: not there this time."""
    exemplars: dict[int, Sequence[ExemplarPoint | None]] = field(default_factory=dict)
    """Position of the series -> one exemplar a bucket (a counter: one; exponential: any number, in any order)."""

    def slice(self, start: int, stop: int, *, exemplars: bool) -> tuple[Sequence[Any], Exemplars]:
        """The states of some series, and the exemplars of (at least) these. The encoder asks for each series once a
        scrape.

        A stream may read its states only here (``telemetry._sdk.direct`` does): so a scrape of many series never
        holds them all at once.
        """
        return self.values[start:stop], self.exemplars if exemplars else {}


class Snapshot(NamedTuple):
    """Everything one scrape shows: the resource and the streams, in the order in which they are written."""

    resource: Resource | None
    streams: Sequence[Stream]
