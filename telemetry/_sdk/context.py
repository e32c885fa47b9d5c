"""The current context and span, read without the SDK's indirections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span

__all__ = [
    "SPAN_KEY",
    "attach",
    "attributes_of",
    "carries",
    "current_context",
    "detach",
    "lasting_attributes",
    "may_have_global_provider",
    "sampled_span",
    "span_in",
]

try:
    from opentelemetry.trace.propagation import _SPAN_KEY as SPAN_KEY
except ImportError:
    SPAN_KEY = ""


_public_context = otel_context.get_current()  # loads the runtime context
_runtime: Any = getattr(otel_context, "_RUNTIME_CONTEXT", None)


def _context_variable() -> ContextVar[Context] | None:
    """Returns the context variable behind ``opentelemetry.context``; None where something else keeps the context."""
    variable = getattr(_runtime, "_current_context", None)
    if type(_runtime) is not ContextVarsRuntimeContext or not isinstance(variable, ContextVar):
        return None
    return variable if variable.get() is _public_context else None


_variable = _context_variable()
current_context: Callable[[], Context] = otel_context.get_current if _variable is None else _variable.get
_attach: Callable[[Context], Token[Context]] = otel_context.attach if _variable is None else _variable.set
# The public ``detach`` logs a stack trace where the others raise.
_detach: Callable[[Token[Context]], None] = (
    getattr(_runtime, "detach", otel_context.detach) if _variable is None else _variable.reset
)


def attach(span: Span, context: Context) -> Token[Context]:
    """Makes ``span`` current on top of ``context``; returns the token for ``detach``."""
    return _attach(Context({**context, SPAN_KEY: span}) if SPAN_KEY else trace.set_span_in_context(span, context))


def detach(token: Token[Context] | None) -> None:
    """Restores what was current. Does nothing where a generator is closed in another context than it was started in."""
    if token is None:
        return
    try:
        _detach(token)
    except ValueError:
        return


def span_in(context: Context) -> Span:
    """Returns the span of a context; ``INVALID_SPAN`` where there is none."""
    if SPAN_KEY:
        span: Any = context.get(SPAN_KEY)
        if span is None:
            return INVALID_SPAN
        if span.__class__ is NonRecordingSpan:
            return cast("Span", span)
    return trace.get_current_span(context)


_UNKNOWN = object()


def may_have_global_provider() -> bool:
    """Returns False where no tracer provider is set globally; whether the environment names one is not looked at."""
    return getattr(trace, "_TRACER_PROVIDER", _UNKNOWN) is not None


_TRACE_FLAGS = 3  # a SpanContext is a tuple: its items are read faster than its properties
_span_classes: set[type] = set()  # classes known to be spans: isinstance() on an ABC is slow


def sampled_span(context: Context) -> Span | None:
    """Returns the current span if it is sampled, as the trace-based exemplar filter decides it."""
    span: Any = context.get(SPAN_KEY) if SPAN_KEY else trace.get_current_span(context)
    if span is None or span is INVALID_SPAN:
        return None
    if span.__class__ not in _span_classes:
        if not isinstance(span, Span):
            return None
        _span_classes.add(span.__class__)
    return span if span.get_span_context()[_TRACE_FLAGS] & 1 else None


def attributes_of(span: Span) -> Mapping[str, Any]:
    """Returns the span's attributes without copying them; empty where it keeps none."""
    inner: Mapping[str, Any] | None = getattr(getattr(span, "_attributes", None), "_dict", None)
    return inner if inner is not None else getattr(span, "attributes", None) or {}


def lasting_attributes(span: Span, room: int) -> Mapping[str, Any] | None:
    """Returns the span's attributes without copying them; None where its limits may drop one that it has (see ``carries``)."""
    try:
        bounded: Any = span._attributes  # type: ignore[attr-defined]  # of the SDK's span
        found: Mapping[str, Any] = bounded._dict
        limit = bounded.maxlen
    except AttributeError:  # a span of another SDK, whose limits are not known
        return attributes_of(span)
    return found if limit is None or limit - len(found) >= room else None


def carries(span: Span, labels: Mapping[str, Any], room: int) -> bool:
    """Returns whether a span has all of these attributes as they were set, and will keep them.

    The SDK's limits cut long values, and drop the oldest attribute for one too many:
    https://opentelemetry.io/docs/specs/otel/common/#attribute-limits

    Args:
        span: The span, which has got the attributes.
        labels: The attributes.
        room: How many further attributes the span must have room for.
    """
    found = lasting_attributes(span, room)
    if found is None:
        return False
    try:
        bounded: Any = span._attributes  # type: ignore[attr-defined]  # of the SDK's span
        if not bounded.dropped and bounded.max_value_len is None:
            return True
    except AttributeError:  # a span of another SDK, whose limits are not known
        return True
    return all(found.get(key) == value for key, value in labels.items())
