"""The current context and span, read without the SDK's indirections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span

__all__ = ["SPAN_KEY", "attach", "attributes_of", "carries", "current_context", "detach", "sampled_span"]

try:
    from opentelemetry.trace.propagation import _SPAN_KEY as SPAN_KEY
except ImportError:
    SPAN_KEY = ""


def _context_getter() -> Callable[[], Context]:
    """Returns ``get`` of the context variable behind ``opentelemetry.context.get_current``, or that function itself."""
    public = otel_context.get_current
    public()  # loads the runtime context
    runtime = getattr(otel_context, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    getter: Callable[[], Context] | None = getattr(variable, "get", None)
    return getter if getter is not None and getter() is public() else public


current_context = _context_getter()


def attach(span: Span, context: Context) -> Token[Context] | None:
    """Makes ``span`` current on top of ``context``; returns the token for ``detach``."""
    return otel_context.attach(Context({**context, SPAN_KEY: span}) if SPAN_KEY else trace.set_span_in_context(span, context))


def detach(token: Token[Context] | None) -> None:
    """Restores what was current. Does nothing where a generator is closed in another context than it was started in."""
    if token is None:
        return
    try:
        _detach(token)
    except ValueError:
        return


def _detacher() -> Callable[[Token[Context]], None]:
    """Returns the runtime context's ``detach``, which raises where the public one logs a stack trace; else the public one."""
    own: Callable[[Token[Context]], None] | None = getattr(getattr(otel_context, "_RUNTIME_CONTEXT", None), "detach", None)
    return own or otel_context.detach


_detach = _detacher()


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
    return span if span.get_span_context().trace_flags & 1 else None


def attributes_of(span: Span) -> Mapping[str, Any]:
    """Returns the span's attributes without copying them; empty where it keeps none."""
    inner: Mapping[str, Any] | None = getattr(getattr(span, "_attributes", None), "_dict", None)
    return inner if inner is not None else getattr(span, "attributes", None) or {}


def carries(span: Span, labels: Mapping[str, Any], room: int) -> bool:
    """Returns whether a span has all of these attributes as they were set, and will keep them.

    The SDK's limits cut long values, and drop the oldest attribute for one too many:
    https://opentelemetry.io/docs/specs/otel/common/#attribute-limits

    Args:
        span: The span, which has got the attributes.
        labels: The attributes.
        room: How many further attributes the span must have room for.
    """
    try:
        bounded: Any = span._attributes  # type: ignore[attr-defined]  # of the SDK's span
        limit = bounded.maxlen
        if limit is not None and limit - len(bounded._dict) < room:
            return False
        if not bounded.dropped and bounded.max_value_len is None:
            return True
    except AttributeError:  # a span of another SDK, whose limits are not known
        return True
    found = bounded._dict
    return all(found.get(key) == value for key, value in labels.items())
