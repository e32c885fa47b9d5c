"""Streams of series with their states: the data between collecting and encoding.

``collect -> Snapshot -> families -> text``. One encoder renders every ``Snapshot``: of the SDK's state read directly
(``telemetry._sdk.direct``), of the public ``MetricsData`` (``convert``), and of the merged states of several processes. A
producer of snapshots keeps one ``Stream`` object for each stream and only appends series to it: the encoder caches label text
by stream and position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

__all__ = [
    "MAX_SIZE",
    "ZERO_THRESHOLD",
    "ExemplarPoint",
    "Exemplars",
    "ExponentialState",
    "HistogramState",
    "NativeHistogramState",
    "Snapshot",
    "State",
    "Stream",
    "StreamKind",
]

ZERO_THRESHOLD = 1e-128
"""Zero threshold of an exponential histogram that names none: the one of Prometheus' translation of OTLP."""
MAX_SIZE = 160
"""https://opentelemetry.io/docs/specs/otel/metrics/sdk/#base2-exponential-bucket-histogram-aggregation"""
Attributes = Mapping[str, Any]
Exemplars = Mapping[int, Sequence["ExemplarPoint | None"]]


class StreamKind(Enum):
    """What the values of a stream are; decides their type in Prometheus."""

    COUNTER = "counter"
    """A monotonic cumulative sum."""
    GAUGE = "gauge"
    """A last value, or a sum that goes up and down."""
    HISTOGRAM = "histogram"
    """Explicit buckets: states are ``HistogramState``, or ``NativeHistogramState`` where the stream is ``native``."""
    EXPONENTIAL = "exponential histogram"
    """Base-2 exponential buckets: states are ``ExponentialState``."""


class ExemplarPoint(NamedTuple):
    """One measurement of a bucket, with its trace.

    Attributes:
        value: The measurement.
        time_unix_nano: When it was made, in Unix nanoseconds.
        trace_id: Its trace.
        span_id: Its span.
        attributes: The attributes of the measurement that the series does not have.
    """

    value: float
    time_unix_nano: int
    trace_id: int | None
    span_id: int | None
    attributes: Attributes | None


HistogramState = tuple[Sequence[int], float]
"""Counts per bucket (not cumulative, one more than there are bounds) and the sum of the values."""


class ExponentialState(NamedTuple):
    """An exponential histogram: ``positive[i]`` counts values in (base**(offset+i), base**(offset+i+1)].

    The base is ``2**2**-scale``.
    """

    scale: int
    sum: float
    zero_count: int
    positive_offset: int
    positive: Sequence[int]
    negative_offset: int
    negative: Sequence[int]
    zero_threshold: float = ZERO_THRESHOLD
    """``zero_count`` counts the values whose absolute value is not above it."""
    max_size: int = MAX_SIZE
    """How many buckets either side may span when histograms are added up."""


NativeHistogramState = tuple[Sequence[int], float, ExponentialState]
"""A histogram in both forms: as ``HistogramState``, and the same measurements in exponential buckets."""
State = float | HistogramState | NativeHistogramState | ExponentialState


@dataclass(slots=True, eq=False)
class Stream:
    """One metric of one scope as one View shows it.

    Attributes:
        scope: The instrumentation scope.
        name: The metric's name.
        description: Its help text.
        unit: Its unit.
        kind: What the values are.
        bounds: Upper bounds of a ``HISTOGRAM``'s buckets, without infinity.
        attributes: The attributes of each series.
        starts: When each series began, in Unix nanoseconds.
        values: The ``State`` of each series; None where the series has none at this collect.
        exemplars: By position of the series, one exemplar a bucket (counters: one; exponential histograms: any number).
        native: Whether a ``HISTOGRAM`` keeps exponential buckets too.
    """

    scope: InstrumentationScope
    name: str
    description: str
    unit: str
    kind: StreamKind
    bounds: Sequence[float] = ()
    attributes: list[Attributes] = field(default_factory=list)
    starts: list[int | None] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    exemplars: dict[int, Sequence[ExemplarPoint | None]] = field(default_factory=dict)
    native: bool = False

    def slice(self, start: int, stop: int, *, exemplars: bool, native: bool = False) -> tuple[Sequence[Any], Exemplars]:
        """Returns the states of some series, and the exemplars of at least these.

        The encoder calls it once a scrape for each series. A stream may read its states here and not before
        (``telemetry._sdk.live`` does), so that a scrape of many series never holds them all at once.

        Args:
            start: Position of the first series.
            stop: Position after the last series.
            exemplars: Whether exemplars are wanted.
            native: Whether the states of a ``native`` stream have their exponential buckets.
        """
        states: Sequence[Any] = self.values[start:stop]
        if self.native and not native:
            states = [None if state is None else state[:2] for state in states]
        return states, self.exemplars if exemplars else {}


class Snapshot(NamedTuple):
    """Everything that one scrape shows: the resource, and the streams in the order in which they are written."""

    resource: Resource | None
    streams: Sequence[Stream]
    generation: object = None
    """Another object where streams of earlier snapshots are gone, or others come before them now."""
