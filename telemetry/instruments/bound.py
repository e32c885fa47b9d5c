"""Bound handles: one label set of one instrument, with prometheus_client's words, fed at the price of the aggregation.

A handle finds the SDK's aggregations of its series once and feeds them straight while nothing has changed; ``record()`` or
``add()`` of the OpenTelemetry instrument is the fall-back with equal results (``_sdk/record.py`` says when).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from telemetry._sdk.aggregation import Aggregations, Source, feed_histogram, feed_sum, offer
from telemetry._sdk.context import current_context, sampled_span
from telemetry._sdk.reservoir import pack_ids
from telemetry.instruments.blocks import InProgress, Stopwatch

if TYPE_CHECKING:
    from telemetry.instruments.instrument import Instrument

__all__ = ["BoundCounter", "BoundGauge", "BoundHistogram", "Handle"]

DROPPED_ROW = "agentos.telemetry.dropped"
_NOWHERE = Context()
_PLAIN = frozenset({int, float})
_UNBOUND = (object(), None)


class Handle:
    """What the kinds share: binding, checking and falling back. Never raises into the measured code."""

    __slots__ = ("_bound", "_instrument", "values")

    _feed: Callable[[Any, float, bytes | None], bool]
    _least: float = 0.0

    def __init__(self, instrument: Instrument[Any], values: tuple[str, ...]) -> None:
        self._instrument = instrument
        self.values = values
        """The bounded label values, in the metric's key order."""
        # The readers that were seen, and their aggregations: one object, so that no thread sees half of a change.
        self._bound: tuple[object, Aggregations | None] = _UNBOUND

    @property
    def source(self) -> Source:
        """Where the series is recorded, and what its exemplar filter takes."""
        return self._instrument.source

    def is_on(self, attributes: Mapping[str, object]) -> bool:
        """Whether these attributes have all of the series' labels, with the same values."""
        values = self.values
        for index, key in enumerate(self._instrument.metric.keys):
            if attributes.get(key) != values[index] and self._instrument.metric.labels[index].on_span:
                return False
        return True

    @property
    def attributes(self) -> dict[str, str]:
        """The series' labels."""
        return self._instrument.metric.attributes(self.values)

    def put(self, value: float, ids: bytes | None) -> None:
        """Record with the exemplar decided by the caller: ``ids`` of the current, sampled span, or None for no exemplar."""
        try:
            seen, aggregations = self._bound
            if (
                aggregations is None
                or value.__class__ not in _PLAIN
                or not self._instrument.source.direct(seen)
                or not self._least <= value < inf
            ):
                self._slowly(value, None if ids is not None else _NOWHERE)
                return
            for aggregation in aggregations:
                if not self._feed(aggregation, value, ids):
                    offer(aggregation, value, ids, current_context())  # type: ignore[arg-type]  # False only with ids
        except Exception as error:
            self.lost(error)

    def _record(self, value: float) -> None:
        """Record; the provider's exemplar filter decides."""
        try:
            source = self._instrument.source
            seen, aggregations = self._bound
            if (
                aggregations is None
                or value.__class__ not in _PLAIN
                or not source.direct(seen)
                or not self._least <= value < inf
            ):
                self._slowly(value, None)
                return
            context = current_context()
            ids = self._sample(value, context) if context or not source.trace_based else None
            for aggregation in aggregations:
                if not self._feed(aggregation, value, ids):
                    offer(aggregation, value, ids, context)  # type: ignore[arg-type]  # False only with ids
        except Exception as error:
            self.lost(error)

    def record_in(self, value: float, context: Context) -> None:
        """Record through the SDK's own door, with the exemplar of ``context``."""
        try:
            self._slowly(value, context)
        except Exception as error:
            self.lost(error)

    def _sample(self, value: float, context: Context) -> bytes | None:
        """The exemplar's part of the current span where the filter wants one."""
        source = self._instrument.source
        span = sampled_span(context)
        if source.trace_based and span is None:
            return None
        now = time.time_ns()
        if not source.trace_based and not source.wants_exemplar(value, now, self.attributes, context):
            return None
        return pack_ids(now, INVALID_SPAN_CONTEXT if span is None else span.get_span_context())

    def _slowly(self, value: float, context: Context | None) -> None:
        """Whatever the straight way does not do: refuse, bind, or take the SDK's own door."""
        if value.__class__ not in _PLAIN:
            value = float(value)  # a Decimal or a number of numpy's would change the type of the sum
        if not self._least <= value < inf:
            reason = "negative" if isfinite(value) else "not_finite"
            self._instrument.refuse(reason, value)
            return
        source = self._instrument.source
        seen, aggregations = self._bound
        if not source.direct(seen):
            seen, aggregations = self._bind(source)
        straight = aggregations is not None and source.direct(seen)
        if straight and context is None:
            Handle._record(self, value)
        elif straight and context is _NOWHERE:
            Handle.put(self, value, None)
        else:
            self._publicly(value, context)

    def _bind(self, source: Source) -> tuple[object, Aggregations | None]:
        self.values = self._instrument.rebound(self.values)
        seen = source.storages  # before the aggregations: where readers change meanwhile it is out of date at once
        self._bound = bound = (seen, source.aggregations(self.attributes))
        return bound

    def start(self) -> None:
        """Make the series exist at 0, so that a rate sees its first event. A histogram starts so on the straight way only."""
        Handle.put(self, 0, None)

    def _publicly(self, value: float, context: Context | None) -> None:
        """``add()`` or ``record()`` of the OpenTelemetry instrument."""
        self._instrument.source.instrument.add(value, self.attributes, context)

    def lost(self, error: Exception) -> None:
        """Count a failure of the telemetry itself."""
        self._instrument.refuse("failed", error)


class BoundCounter(Handle):
    """A counter's series."""

    __slots__ = ()
    _feed = staticmethod(feed_sum)

    def inc(self, amount: float = 1, exemplar: object = None) -> None:
        """Add ``amount`` (finite, not negative). Exemplars come from the current span: ``exemplar`` is taken and ignored."""
        self._record(amount)


class BoundGauge(Handle):
    """An up-down counter's series."""

    __slots__ = ()
    _feed = staticmethod(feed_sum)
    _least = -1.7976931348623157e308

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``."""
        self._record(amount)

    def dec(self, amount: float = 1) -> None:
        """Subtract ``amount``."""
        self._record(-amount)

    def set(self, value: float) -> None:
        """Not for an up-down counter: always raises ``TypeError``."""
        raise TypeError(
            f"{self._instrument.metric.prometheus_name} is an up-down counter: it is the sum of what was added, "
            "so that it can be summed over workers; use inc() and dec()"
        )

    def track_inprogress(self) -> InProgress:
        """A context manager and decorator: up at the start, down at the end, whatever happens."""
        return InProgress(self)


class BoundHistogram(Handle):
    """A histogram's series."""

    __slots__ = ()
    _feed = staticmethod(feed_histogram)

    def observe(self, amount: float, exemplar: object = None) -> None:
        """Record ``amount`` in the metric's unit (finite, not negative); ``exemplar`` is taken and ignored."""
        self._record(amount)

    def time(self) -> Stopwatch:
        """A context manager and decorator that observes how long the block takes, in seconds. No span: see RequestTimer."""
        return Stopwatch(self, self._instrument.runtime.clock)

    def start(self) -> None:
        """See ``Handle.start``."""
        try:
            self._bind(self._instrument.source)
        except Exception as error:
            self.lost(error)

    def aggregations(self) -> Aggregations | None:
        """The SDK's aggregations of this series, None where only ``record()`` reaches them."""
        return self._instrument.source.aggregations(self.attributes)

    def _publicly(self, value: float, context: Context | None) -> None:
        self._instrument.source.instrument.record(value, self.attributes, context)
