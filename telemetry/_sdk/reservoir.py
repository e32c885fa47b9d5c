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
from struct import error as StructError
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Exemplar, ExemplarReservoir
from opentelemetry.trace import SpanContext
from opentelemetry.util.types import Attributes

__all__ = ["LatestExemplarReservoir", "NoExemplarReservoir", "pack_span_reference", "reference_time", "reservoir_for"]

_REFERENCE = Struct("<q16s8s")  # time in ns, trace id, span id: one small object instead of three large integers
_FIELDS = Struct("<qQQQ")  # the same, read in the halves of the trace id
_FLOAT, _INT = 1, 2
"""What a place's first byte says of its measurement; 0 where the place is empty."""
_FLOAT_PLACE, _INT_PLACE = Struct("<Bd32s"), Struct("<Bq32s")
_PLACE_FIELDS = Struct("<BdqQQQ")
_WIDTH = _PLACE_FIELDS.size

Measured: TypeAlias = tuple[float, int, int | None, int | None, Attributes]
"""Value, time, trace id, span id and attributes of a measurement; the attributes are None where they are the point's own."""
_Beside: TypeAlias = tuple[float, bytes, Attributes]


def pack_span_reference(time_unix_nano: int, context: SpanContext) -> bytes:
    """Packs time and span: the part of an exemplar that all metrics of one call share."""
    try:
        trace_id, span_id = context[0], context[1]  # its properties take three times as long
    except TypeError:  # another class with the same properties
        trace_id, span_id = context.trace_id, context.span_id
    return _REFERENCE.pack(time_unix_nano, trace_id.to_bytes(16, "little"), span_id.to_bytes(8, "little"))


def reference_time(reference: bytes) -> int:
    """Returns the time in ``reference``, in Unix nanoseconds."""
    return int(_REFERENCE.unpack(reference)[0])


class LatestExemplarReservoir(ExemplarReservoir):
    """Keeps the newest measurement of each bucket, or of one bucket without ``boundaries``.

    With a ``size``, which the SDK gives for an exponential histogram, it keeps the newest of each doubling of the value: those
    ``size`` doublings apart share a place.

    All places lie in one buffer of 41 bytes each; an object for each measurement takes three times that. What does not fit
    (attributes that the point may not have, integers beyond 64 bits) is kept beside it. A place is written by one call of
    ``struct``, which the GIL makes atomic, so that no lock is needed.
    """

    __slots__ = ("_beside", "_boundaries", "_packed", "_size")

    def __init__(self, boundaries: Sequence[float] = (), size: int = 1, **_: Any) -> None:
        self._boundaries = boundaries
        self._size = max(size, len(boundaries) + 1)
        self._packed: bytearray | None = None
        self._beside: list[_Beside | None] | None = None
        """Shown where the buffer's place is empty."""

    def keep(self, index: int, value: float, reference: bytes) -> None:
        """Keeps a measurement of bucket ``index`` whose attributes are the point's own."""
        packed = self._packed
        if packed is None:
            packed = self._packed = bytearray(self._size * _WIDTH)
        if type(value) is float:
            _FLOAT_PLACE.pack_into(packed, index * _WIDTH, _FLOAT, value, reference)
            return
        try:
            _INT_PLACE.pack_into(packed, index * _WIDTH, _INT, value, reference)
        except StructError:  # beyond 64 bits, or another type
            self.keep_beside(index, (value, reference, None))

    def place(self, value: float) -> int:
        """Returns the bucket of a measurement."""
        return bisect_left(self._boundaries, value) if self._boundaries else frexp(value)[1] % self._size

    def offer(self, value: float, time_unix_nano: int, attributes: Attributes, context: Context) -> None:
        """Keeps a measurement that the SDK offers; attributes that the point does not have become the exemplar's."""
        reference = pack_span_reference(time_unix_nano, trace.get_current_span(context).get_span_context())
        self.keep_beside(self.place(value), (value, reference, attributes))

    def newest(self) -> list[Measured | None] | None:
        """Returns the kept measurements without removing them: a scrape shows an exemplar until a newer one comes.

        Returns:
            Each bucket's measurement, None for an empty bucket. None if no measurement was ever kept.
        """
        return _newest(self._packed, self._beside)

    def collect(self, point_attributes: Attributes) -> list[Exemplar]:
        """Returns the kept exemplars in bucket order, and removes them."""
        packed, self._packed, beside, self._beside = self._packed, None, self._beside, None
        return [_exemplar(entry, point_attributes or {}) for entry in _newest(packed, beside) or () if entry is not None]

    def keep_beside(self, index: int, measured: _Beside) -> None:
        """Keeps a measurement of bucket ``index`` with its reference and its attributes."""
        beside = self._beside
        if beside is None:
            beside = self._beside = [None] * self._size
        beside[index] = measured
        packed = self._packed
        if packed is not None:
            packed[index * _WIDTH] = 0


def _newest(packed: bytearray | None, beside: list[_Beside | None] | None) -> list[Measured | None] | None:
    if packed is None and beside is None:
        return None
    found = [None if entry is None else _measured(*entry) for entry in beside or ()]
    if packed is None:
        return found
    data = bytes(packed)  # a copy, made by one call as a place is written
    places: list[Measured | None] = []
    for kind, value, time_unix_nano, low, high, span_id in _PLACE_FIELDS.iter_unpack(data):
        if not kind:
            places.append(found[len(places)] if found else None)
            continue
        if kind == _INT:
            value = _INT_PLACE.unpack_from(data, len(places) * _WIDTH)[1]
        places.append((value, time_unix_nano, high << 64 | low or None, span_id or None, None))
    return places


def _measured(value: float, reference: bytes, attributes: Attributes) -> Measured:
    time_unix_nano, low, high, span_id = _FIELDS.unpack(reference)
    return value, time_unix_nano, high << 64 | low or None, span_id or None, attributes


def _exemplar(entry: Measured, point_attributes: Any) -> Exemplar:
    value, time_unix_nano, trace_id, span_id, attributes = entry
    filtered = {k: v for k, v in attributes.items() if k not in point_attributes} if attributes else {}
    return Exemplar(filtered, value, time_unix_nano, span_id, trace_id)


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
