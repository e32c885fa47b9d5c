"""Starting the spans that the sampler drops, without asking it where its answer is known.

In production most spans are dropped, because their request was not sampled. For each of them the SDK looks the parent up three
times and makes a result of a sampler: two thirds of what such a span costs. ``DroppingTracer`` makes the span itself where the
SDK's own samplers have one answer only, and the SDK starts every other span.

A dropped span is what the specification wants: a new span id of the provider's generator, the trace of its parent or a new one,
the parent's trace state. https://opentelemetry.io/docs/specs/otel/trace/sdk/#sdk-span-creation

``DroppingTracer`` first has the SDK drop a few spans, with a sampler and an id generator that are not the host's. Where these
spans are not as expected, or a private name is gone, the SDK starts all spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from types import SimpleNamespace
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, Tracer, TraceState
from opentelemetry.util.types import Attributes

from telemetry._sdk.context import SPAN_KEY

__all__ = ["DroppingTracer", "dropping"]

try:
    from opentelemetry.sdk.trace._tracer_metrics import NoOpTracerMetrics
except ImportError:  # an SDK that does not count its spans
    NoOpTracerMetrics = type(None)  # type: ignore[assignment,misc]

_KNOWN_ATTRIBUTES = frozenset(
    {
        *("sampler", "resource", "span_processor", "id_generator", "instrumentation_info"),
        *("_span_limits", "_instrumentation_scope", "_tracer_config", "_tracer_metrics"),
    }
)
"""What an SDK's tracer consists of; one with more may do more with a dropped span."""
_UNSAMPLED = (0, 2)
"""The flags of unsampled parents: none, or that the trace id is random (https://www.w3.org/TR/trace-context-2/#trace-flags)."""
_TRACE_ID_LIMIT = TraceIdRatioBased.TRACE_ID_LIMIT
_HIGHEST_BOUND = (_TRACE_ID_LIMIT + 1) // 8
"""Where more than one root in eight is sampled the SDK decides: each sampled one would cost a copy of the tracer."""
_LARGEST_SPAN_ID = (1 << 64) - 1
_new_tuple: Any = tuple.__new__  # a span context is a tuple whose own ``__new__`` takes twice as long
_ON = SimpleNamespace(_tracer_config=SimpleNamespace(is_enabled=True))
"""Stands for the tracer of an SDK that cannot switch tracers off."""


def dropping(tracer: Tracer) -> Tracer:
    """Returns a tracer that starts the same spans and drops them for less; ``tracer`` itself where that is not possible."""
    if type(tracer) is not sdk.Tracer or not SPAN_KEY:
        return tracer
    try:
        return DroppingTracer(tracer)
    except (AttributeError, TypeError, ValueError):
        return tracer


class DroppingTracer(Tracer):
    """Starts the spans of one of the SDK's tracers.

    Args:
        tracer: The SDK's tracer.

    Raises:
        AttributeError: A private name of the SDK is gone.
        ValueError: The sampler has to be asked, or the SDK drops spans in another way.
    """

    def __init__(self, tracer: sdk.Tracer) -> None:
        if not _KNOWN_ATTRIBUTES.issuperset(vars(tracer)):
            raise ValueError("the tracer has attributes that are not known")
        if type(getattr(tracer, "_tracer_metrics", None)) not in (NoOpTracerMetrics, type(None)):
            raise ValueError("the SDK counts dropped spans")
        self._tracer: Any = tracer
        self._sampler = tracer.sampler
        self._switch: Any = tracer if hasattr(tracer, "_is_enabled") else _ON
        self._switch._tracer_config.is_enabled  # noqa: B018  # raises AttributeError where a name is gone
        # What becomes of an unsampled parent's flags; empty where the sampler has to be asked about its children.
        self._flags = _flags_under_parents(tracer) if _drops_under_unsampled(self._sampler) else {}
        # Roots whose trace id is below are sampled; None where the sampler has to be asked about them.
        self._bound = _bound_of_roots(self._sampler)
        self._root_flags = _sdk_drops(tracer, Context()).trace_flags
        if not self._flags and self._bound is None:
            raise ValueError("the sampler has to be asked")

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """See ``opentelemetry.trace.Tracer.start_span``."""
        tracer = self._tracer
        if context is not None and tracer.sampler is self._sampler and self._switch._tracer_config.is_enabled:
            parent: Any = context.get(SPAN_KEY)
            if parent.__class__ is NonRecordingSpan:
                above = parent.get_span_context()
                if above.__class__ is SpanContext:
                    trace_id, _, _, parent_flags, state, is_valid = above
                    flags = self._flags.get(parent_flags)
                    if flags is not None and is_valid:
                        span_id = tracer.id_generator.generate_span_id()
                        valid = 0 < span_id <= _LARGEST_SPAN_ID
                        return NonRecordingSpan(_new_tuple(SpanContext, (trace_id, span_id, False, flags, state, valid)))
                    if not is_valid:
                        parent = None
            if parent is None and self._bound is not None and tracer.id_generator.__class__ is RandomIdGenerator:
                ids = tracer.id_generator
                trace_id = ids.generate_trace_id()
                if trace_id & _TRACE_ID_LIMIT >= self._bound:
                    return NonRecordingSpan(SpanContext(trace_id, ids.generate_span_id(), False, self._root_flags))
                tracer = copy(tracer)
                tracer.id_generator = _OneTrace(trace_id)
        span: Span = tracer.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        return span

    # The SDK's calls ``start_span`` and makes the span current.
    start_as_current_span: Any = sdk.Tracer.start_as_current_span


class _OneTrace(RandomIdGenerator):
    """Generates the trace id for which the sampler's answer is known already."""

    def __init__(self, trace_id: int) -> None:
        self._trace_id = trace_id

    def generate_trace_id(self) -> int:
        return self._trace_id


def _drops_under_unsampled(sampler: Sampler) -> bool:
    """Returns whether the sampler drops each span under an unsampled parent, whatever it is asked."""
    if type(sampler) is not ParentBased and type(sampler) is not ParentBasedTraceIdRatio:
        return sampler is ALWAYS_OFF
    return sampler._remote_parent_not_sampled is ALWAYS_OFF and sampler._local_parent_not_sampled is ALWAYS_OFF


def _bound_of_roots(sampler: Sampler) -> int | None:
    """Returns the bound of ``TraceIdRatioBased`` where roots are sampled by it, and few are.

    Raises:
        ValueError: The SDK's sampler does not decide by it.
    """
    if type(sampler) is ParentBased or type(sampler) is ParentBasedTraceIdRatio:
        sampler = sampler._root
    if sampler is ALWAYS_OFF:
        return 0
    if type(sampler) is not TraceIdRatioBased or sampler.bound > _HIGHEST_BOUND:
        return None
    bound, high = sampler.bound, _TRACE_ID_LIMIT + 1
    asked = [sampler.should_sample(Context(), trace_id, "").decision for trace_id in (bound, bound + high, bound + high - 1)]
    if asked != [Decision.DROP, Decision.DROP, Decision.RECORD_AND_SAMPLE if bound else Decision.DROP]:
        raise ValueError("TraceIdRatioBased decides in another way")
    return bound


def _flags_under_parents(tracer: sdk.Tracer) -> dict[int, TraceFlags]:
    """Returns what the SDK makes of the flags of unsampled parents.

    Raises:
        ValueError: A dropped span is not as expected.
    """
    found = {}
    state = TraceState([("vendor", "value")])
    for flags in _UNSAMPLED:
        above = SpanContext(1, 2, True, TraceFlags(flags), state)
        dropped = _sdk_drops(tracer, Context({SPAN_KEY: NonRecordingSpan(above)}))
        fields = (1, 2, True, flags, state, True)
        if tuple(above) != fields or vars(above) or dropped[:1] + dropped[4:] != above[:1] + above[4:]:
            raise ValueError("a dropped span has other ids or another trace state")
        found[flags] = dropped.trace_flags
    return found


def _sdk_drops(tracer: sdk.Tracer, context: Context) -> SpanContext:
    """Returns the context of a span that the SDK drops, by a copy of the tracer with a sampler and a generator of its own.

    Raises:
        ValueError: It is not a new, unsampled span.
    """
    sample: Any = copy(tracer)
    sample.sampler, sample.id_generator = ALWAYS_OFF, RandomIdGenerator()
    span = sample.start_span("dropped", context)
    found: SpanContext = span.get_span_context()
    if type(span) is not NonRecordingSpan or found.is_remote or found.trace_flags.sampled or found.span_id == 2:
        raise ValueError("a dropped span is of another kind")
    return found
