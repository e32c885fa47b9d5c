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

from telemetry._sdk.aggregation import Aggregations, InstrumentSource, feed_histogram, feed_sum, offer
from telemetry._sdk.context import current_context, sampled_span
from telemetry._sdk.reservoir import pack_span_reference
from telemetry.instruments.blocks import InprogressTracker, Timer

if TYPE_CHECKING:
    from telemetry.instruments.instrument import Instrument

__all__ = ["BoundCounter", "BoundGauge", "BoundHistogram", "BoundInstrument"]

_NOWHERE = Context()
_PLAIN = frozenset({int, float})
_UNBOUND = (object(), None)


class BoundInstrument:
    """What the kinds share: binding, checking and falling back. Never raises into the measured code."""

    __slots__ = ("_bound", "_instrument", "values")

    _feed: Callable[[Any, float, bytes | None], bool]
    _minimum: float = 0.0

    def __init__(self, instrument: Instrument[Any], values: tuple[str, ...]) -> None:
        self._instrument = instrument
        self.values = values
        """The bounded label values, in the metric's key order."""
        # The readers that were seen, and their aggregations: one object, so that no thread sees half of a change.
        self._bound: tuple[object, Aggregations | None] = _UNBOUND

    @property
    def source(self) -> InstrumentSource:
        """Where the series is recorded, and what its exemplar filter takes."""
        return self._instrument.source

    def matches(self, attributes: Mapping[str, object]) -> bool:
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

    def record_with_exemplar(self, value: float, reference: bytes | None) -> None:
        """Records with the exemplar of ``reference``, a sampled span; None for no exemplar."""
        try:
            seen, aggregations = self._bound
            if (
                aggregations is None
                or value.__class__ not in _PLAIN
                or not self._instrument.source.direct(seen)
                or not self._minimum <= value < inf
            ):
                self._record_slow(value, None if reference is not None else _NOWHERE)
                return
            for aggregation in aggregations:
                if not self._feed(aggregation, value, reference):
                    offer(aggregation, value, reference, current_context())  # type: ignore[arg-type]  # False only with ids
        except Exception as error:
            self.record_failure(error)

    def _record(self, value: float) -> None:
        """Record; the provider's exemplar filter decides."""
        try:
            source = self._instrument.source
            seen, aggregations = self._bound
            if (
                aggregations is None
                or value.__class__ not in _PLAIN
                or not source.direct(seen)
                or not self._minimum <= value < inf
            ):
                self._record_slow(value, None)
                return
            context = current_context()
            reference = self._sample(value, context) if context or not source.trace_based else None
            for aggregation in aggregations:
                if not self._feed(aggregation, value, reference):
                    offer(aggregation, value, reference, context)  # type: ignore[arg-type]  # False only with ids
        except Exception as error:
            self.record_failure(error)

    def record_in(self, value: float, context: Context) -> None:
        """Record through the SDK's own door, with the exemplar of ``context``."""
        try:
            self._record_slow(value, context)
        except Exception as error:
            self.record_failure(error)

    def _sample(self, value: float, context: Context) -> bytes | None:
        """The exemplar's part of the current span where the filter wants one."""
        source = self._instrument.source
        span = sampled_span(context)
        if source.trace_based and span is None:
            return None
        now = time.time_ns()
        if not source.trace_based and not source.wants_exemplar(value, now, self.attributes, context):
            return None
        return pack_span_reference(now, INVALID_SPAN_CONTEXT if span is None else span.get_span_context())

    def _record_slow(self, value: float, context: Context | None) -> None:
        """Whatever the straight way does not do: refuse, bind, or take the SDK's own door."""
        if value.__class__ not in _PLAIN:
            value = float(value)  # a Decimal or a number of numpy's would change the type of the sum
        if not self._minimum <= value < inf:
            reason = "negative" if isfinite(value) else "not_finite"
            self._instrument.refuse(reason, value)
            return
        source = self._instrument.source
        seen, aggregations = self._bound
        if not source.direct(seen):
            seen, aggregations = self._bind(source)
        straight = aggregations is not None and source.direct(seen)
        if straight and context is None:
            BoundInstrument._record(self, value)
        elif straight and context is _NOWHERE:
            BoundInstrument.record_with_exemplar(self, value, None)
        else:
            self._record_via_sdk(value, context)

    def _bind(self, source: InstrumentSource) -> tuple[object, Aggregations | None]:
        self.values = self._instrument.rebind(self.values)
        seen = source.storages  # before the aggregations: where readers change meanwhile it is out of date at once
        self._bound = bound = (seen, source.aggregations(self.attributes))
        return bound

    def start(self) -> None:
        """Make the series exist at 0, so that a rate sees its first event. A histogram starts so on the straight way only."""
        BoundInstrument.record_with_exemplar(self, 0, None)

    def _record_via_sdk(self, value: float, context: Context | None) -> None:
        """``add()`` or ``record()`` of the OpenTelemetry instrument."""
        self._instrument.source.instrument.add(value, self.attributes, context)

    def record_failure(self, error: Exception) -> None:
        """Count a failure of the telemetry itself."""
        self._instrument.refuse("failed", error)


class BoundCounter(BoundInstrument):
    """A counter's series."""

    __slots__ = ()
    _feed = staticmethod(feed_sum)

    def inc(self, amount: float = 1, exemplar: object = None) -> None:
        """Add ``amount`` (finite, not negative). Exemplars come from the current span: ``exemplar`` is taken and ignored."""
        self._record(amount)


class BoundGauge(BoundInstrument):
    """An up-down counter's series."""

    __slots__ = ()
    _feed = staticmethod(feed_sum)
    _minimum = -1.7976931348623157e308

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

    def track_inprogress(self) -> InprogressTracker:
        """A context manager and decorator: up at the start, down at the end, whatever happens."""
        return InprogressTracker(self)


class BoundHistogram(BoundInstrument):
    """A histogram's series."""

    __slots__ = ()
    _feed = staticmethod(feed_histogram)

    def observe(self, amount: float, exemplar: object = None) -> None:
        """Record ``amount`` in the metric's unit (finite, not negative); ``exemplar`` is taken and ignored."""
        self._record(amount)

    def time(self) -> Timer:
        """A context manager and decorator that observes how long the block takes, in seconds. No span: see RequestTimer."""
        return Timer(self, self._instrument.runtime.clock)

    def start(self) -> None:
        """See ``BoundInstrument.start``."""
        try:
            self._bind(self._instrument.source)
        except Exception as error:
            self.record_failure(error)

    def aggregations(self) -> Aggregations | None:
        """The SDK's aggregations of this series, None where only ``record()`` reaches them."""
        return self._instrument.source.aggregations(self.attributes)

    def _record_via_sdk(self, value: float, context: Context | None) -> None:
        self._instrument.source.instrument.record(value, self.attributes, context)
