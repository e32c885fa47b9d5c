"""Streams whose states are read from the SDK's aggregations while the body is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from time import time_ns
from typing import Any

from opentelemetry.metrics import Counter
from opentelemetry.sdk.metrics.export import AggregationTemporality

from telemetry._base.reentry import deferred, run_deferred
from telemetry._sdk.exemplars import peek
from telemetry._sdk.native import NativeAggregation, TwofoldAggregation
from telemetry.metricdata.convert import exemplar_point, exponential_state, keep_newest
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, Stream, StreamKind

__all__ = ["LiveStream", "UnexpectedSDKError", "live_stream", "unexpected_sdk_errors"]


class UnexpectedSDKError(Exception):
    """The SDK's private state is not as this package expects it: the caller takes the public path."""


@contextmanager
def unexpected_sdk_errors() -> Iterator[None]:
    """Raises errors of the block that come from missing names and other types as ``UnexpectedSDKError``."""
    try:
        yield
    except (AttributeError, LookupError, TypeError) as error:
        raise UnexpectedSDKError(f"{type(error).__name__}: {error}") from error


class LiveStream(Stream):
    """One instrument through one View. Series are only added: the SDK never drops cumulative aggregations."""

    __slots__ = ("_aggregations", "_match", "_read")

    def __init__(self, match: Any, instrument: Any, kind: StreamKind, bounds: Sequence[float], read: Reader) -> None:
        super().__init__(
            instrument.instrumentation_scope, match._name, match._description or "", instrument.unit or "", kind, bounds
        )
        self._match = match
        self._read = read
        self._aggregations: list[Any] = []

    def grow(self) -> None:
        """Adds the series that are new since the last call."""
        known, current = self._aggregations, self._match._attributes_aggregation
        if len(current) == len(known):
            return
        with self._match._lock:
            new = list(islice(current.values(), len(known), None))
        known += new
        self.attributes += [aggregation._attributes for aggregation in new]
        self.starts += [getattr(aggregation, "_start_time_unix_nano", None) for aggregation in new]

    def slice(
        self, start: int, stop: int, *, exemplars: bool, native: bool = False
    ) -> tuple[Sequence[Any], Mapping[int, Sequence[ExemplarPoint | None]]]:
        """Reads some series, each under its own lock, without changing their state."""
        with unexpected_sdk_errors():
            aggregations = self._aggregations[start:stop]
            read = _read_twofold if native and self.native else self._read
            values = read(self, aggregations, start)
            if deferred:  # what found a lock taken by this reading
                run_deferred()
            if not exemplars:
                return values, {}
            return values, self.exemplars if self._read is _collect else peek(self, aggregations, start)


Reader = Callable[[LiveStream, Sequence[Any], int], list[Any]]


def _read_sums(_: LiveStream, aggregations: Sequence[Any], _start: int) -> list[Any]:
    values = []
    for aggregation in aggregations:
        with aggregation._lock:
            since = aggregation._value
            values.append(aggregation._previous_value if since is None else since + aggregation._previous_value)
    return values


def _read_last(_: LiveStream, aggregations: Sequence[Any], _start: int) -> list[Any]:
    return [aggregation._value for aggregation in aggregations]


def _read_histograms(_: LiveStream, aggregations: Sequence[Any], _start: int, twofold: bool = False) -> list[Any]:
    values: list[Any] = []
    for aggregation in aggregations:
        with aggregation._lock:
            since, before = aggregation._value, aggregation._previous_value
            total = aggregation._sum + aggregation._previous_sum
            native = aggregation.native.state(total) if twofold else None
            if before is None:
                counts = aggregation._get_empty_bucket_counts() if since is None else since.copy()
            else:
                counts = before if since is None else [a + b for a, b in zip(since, before, strict=True)]
        values.append((counts, total) if native is None else (counts, total, native))
    return values


_read_twofold = partial(_read_histograms, twofold=True)


def _read_native(_: LiveStream, aggregations: Sequence[Any], _start: int) -> list[Any]:
    values = []
    for aggregation in aggregations:
        with aggregation._lock:
            values.append(aggregation.native.state(aggregation._sum))
    return values


def _read_exponentials(stream: LiveStream, aggregations: Sequence[Any], start: int) -> list[Any]:
    """Reads the SDK's exponential histograms; those that another caller has collected are collected here too.

    A collect of the SDK brings the scale to 0 where the next measurement is a zero.
    """
    values = []
    for index, aggregation in enumerate(aggregations, start):
        with aggregation._lock:
            collected = aggregation._previous_value_positive is not None
            sides = [
                (side.offset, tuple(side.get_offset_counts())) if side is not None else (0, ())
                for side in (aggregation._value_positive, aggregation._value_negative)
            ]
            scale, total, zeros = aggregation._mapping.scale, aggregation._sum, aggregation._zero_count
        if collected:
            values += _collect(stream, [aggregation], index)
        else:
            state = ExponentialState(scale, total, zeros, *sides[0], *sides[1])
            values.append(state._replace(max_size=aggregation._max_size))
    return values


def _collect(stream: LiveStream, aggregations: Sequence[Any], start: int) -> list[Any]:
    """Calls the aggregation's ``collect``, where its state is more than a few numbers."""
    values: list[Any] = []
    for index, aggregation in enumerate(aggregations, start):
        point = aggregation.collect(AggregationTemporality.CUMULATIVE, time_ns())
        if point is not None and point.exemplars:
            keep_newest(stream, index, [exemplar_point(e) for e in point.exemplars])
        if point is None:
            values.append(None)
        elif stream.kind is StreamKind.EXPONENTIAL:
            values.append(exponential_state(point))
        else:
            values.append((point.bucket_counts, point.sum) if stream.kind is StreamKind.HISTOGRAM else point.value)
    return values


def live_stream(match: Any, instrument: Any) -> LiveStream | None:
    """Returns the stream of an instrument through a View; None where the View drops it."""
    # Imported here, so that a name that is gone makes this call fail and not the import of the module.
    from opentelemetry.sdk.metrics._internal import aggregation as kinds

    example = match._aggregation
    if isinstance(example, kinds._DropAggregation):
        return None
    in_place: dict[Any, Reader] = {
        kinds._SumAggregation.collect: _read_sums,
        kinds._LastValueAggregation.collect: _read_last,
        kinds._ExplicitBucketHistogramAggregation.collect: _read_histograms,
        kinds._ExponentialBucketHistogramAggregation.collect: _read_exponentials,
        NativeAggregation.collect: _read_native,
    }
    kind = StreamKind.GAUGE
    bounds: Sequence[float] = ()
    if isinstance(example, kinds._SumAggregation):
        kind = StreamKind.COUNTER if isinstance(instrument, Counter) else StreamKind.GAUGE
    elif isinstance(example, kinds._ExplicitBucketHistogramAggregation):
        kind, bounds = StreamKind.HISTOGRAM, example._boundaries
    elif isinstance(example, kinds._ExponentialBucketHistogramAggregation):
        kind = StreamKind.EXPONENTIAL
    # Calls collect() of a subclass that overrides it; reads the others' fields directly.
    stream = LiveStream(match, instrument, kind, bounds, in_place.get(type(example).collect, _collect))
    stream.native = isinstance(example, TwofoldAggregation)
    return stream
