"""Exemplar reservoirs that keep the newest sampled measurement of each bucket.

The SDK's aligned reservoir keeps the same (the last measurement of a bucket,
https://opentelemetry.io/docs/specs/otel/metrics/sdk/#alignedhistogrambucketexemplarreservoir) at four times the price. Views
name these classes through ``exemplar_reservoir_factory``, so that ``record()`` and bound series feed the same object.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import frexp
from struct import Struct
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Exemplar, ExemplarReservoir
from opentelemetry.trace import SpanContext
from opentelemetry.util.types import Attributes

__all__ = ["LatestExemplarReservoir", "NoExemplarReservoir", "pack_span_reference", "reference_time", "reservoir_for"]

_REFERENCE = Struct("<qQQQ")  # time in ns, trace id in two halves, span id: one small object instead of three large integers
_LOW_HALF = (1 << 64) - 1


def pack_span_reference(time_unix_nano: int, context: SpanContext) -> bytes:
    """Packs time and span: the part of an exemplar that all metrics of one call share."""
    trace_id = context.trace_id
    return _REFERENCE.pack(time_unix_nano, trace_id >> 64, trace_id & _LOW_HALF, context.span_id)


def reference_time(reference: bytes) -> int:
    """Returns the time in ``reference``, in Unix nanoseconds."""
    return int(_REFERENCE.unpack(reference)[0])


class LatestExemplarReservoir(ExemplarReservoir):
    """Keeps the newest measurement of each bucket, or of one bucket without ``boundaries``.

    With a ``size``, which the SDK gives for an exponential histogram, it keeps the newest of each doubling of the value: those
    ``size`` doublings apart share a place. Assignments are atomic, so that it needs no lock.
    """

    __slots__ = ("_boundaries", "_kept", "_size")

    def __init__(self, boundaries: Sequence[float] = (), size: int = 1, **_: Any) -> None:
        self._boundaries = boundaries
        self._size = max(size, len(boundaries) + 1)
        self._kept: list[tuple[float, bytes, Attributes] | tuple[float, bytes] | None] | None = None

    def keep(self, index: int, value: float, reference: bytes) -> None:
        """Keeps a measurement of bucket ``index`` whose attributes are the point's own."""
        kept = self._kept
        if kept is None:
            kept = self._kept = [None] * self._size
        kept[index] = (value, reference)

    def place(self, value: float) -> int:
        """Returns the bucket of a measurement."""
        return bisect_left(self._boundaries, value) if self._boundaries else frexp(value)[1] % self._size

    def offer(self, value: float, time_unix_nano: int, attributes: Attributes, context: Context) -> None:
        """Keeps a measurement that the SDK offers; attributes that the point does not have become the exemplar's."""
        reference = pack_span_reference(time_unix_nano, trace.get_current_span(context).get_span_context())
        kept = self._kept
        if kept is None:
            kept = self._kept = [None] * self._size
        kept[self.place(value)] = (value, reference, attributes)

    def newest(self) -> list[tuple[float, int, int | None, int | None, Attributes] | None] | None:
        """Returns the kept measurements without removing them: a scrape shows an exemplar until a newer one comes.

        Returns:
            Value, time, trace id, span id and attributes of each bucket's measurement, None for an empty bucket. The attributes
            are None where they are the point's own. None if no measurement was ever kept.
        """
        kept = self._kept
        return None if kept is None else [None if entry is None else _unpacked(entry) for entry in kept]

    def collect(self, point_attributes: Attributes) -> list[Exemplar]:
        """Returns the kept exemplars in bucket order, and removes them."""
        kept, self._kept = self._kept, None
        return [_exemplar(entry, point_attributes or {}) for entry in kept or () if entry is not None]


def _unpacked(entry: tuple[Any, ...]) -> tuple[float, int, int | None, int | None, Attributes]:
    time_unix_nano, high, low, span_id = _REFERENCE.unpack(entry[1])
    return entry[0], time_unix_nano, high << 64 | low or None, span_id or None, entry[2] if len(entry) == 3 else None


def _exemplar(entry: tuple[Any, ...], point_attributes: Any) -> Exemplar:
    time_unix_nano, high, low, span_id = _REFERENCE.unpack(entry[1])
    attributes = entry[2] if len(entry) == 3 else None
    filtered = {k: v for k, v in attributes.items() if k not in point_attributes} if attributes else {}
    trace_id = high << 64 | low
    return Exemplar(filtered, entry[0], time_unix_nano, span_id or None, trace_id or None)


class NoExemplarReservoir(ExemplarReservoir):
    """Keeps nothing: no format of Prometheus has exemplars of gauges."""

    __slots__ = ()

    def __init__(self, **_: Any) -> None: ...

    def offer(self, value: float, time_unix_nano: int, attributes: Attributes, context: Context) -> None:
        """Ignores the measurement."""

    def collect(self, point_attributes: Attributes) -> list[Exemplar]:
        """Returns an empty list."""
        return []


def reservoir_for(exemplars: bool) -> Callable[[type[Any]], Callable[..., ExemplarReservoir]]:
    """Returns an ``exemplar_reservoir_factory`` for a View."""
    reservoir = LatestExemplarReservoir if exemplars else NoExemplarReservoir
    return lambda _aggregation: reservoir
