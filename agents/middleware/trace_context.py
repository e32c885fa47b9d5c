"""The trace context that callers send: what of it passes into the service, and on to agents."""

from __future__ import annotations

import logging
from collections.abc import MutableSequence

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from starlette.types import ASGIApp, Receive, Scope, Send

from telemetry.tracing.provider import GlobalTracerProvider

__all__ = ["TraceContext"]

_log = logging.getLogger(__name__)

_FIELDS = ("traceparent", "tracestate", "baggage")
_PREFIXES = (b"uberctx-", b"ot-baggage-")
"""Beginnings of headers with baggage that other propagators read (``OTEL_PROPAGATORS``)."""
_Headers = MutableSequence[tuple[bytes, bytes]]
_ids = RandomIdGenerator()


class TraceContext:
    """ASGI middleware that lets a caller name the trace, and nothing else unless it is trusted.

    With the caller's sampling decision each caller could switch tracing off, or have everything kept. So its trace and span id
    are kept, and the sampler decides as for a trace that begins here; trace state is dropped. Baggage is dropped always: agents
    would get it, and it may hold anything.

    Without a tracer provider there is nothing to decide, and the caller's decision is passed on to agents.

    Args:
        provider: The provider of the server spans.
        trusted: Whether the caller's sampling decision and trace state are kept.
    """

    def __init__(self, app: ASGIApp, provider: trace.TracerProvider, *, trusted: bool) -> None:
        self._app = app
        self._provider = provider
        self._trusted = trusted
        self._propagator: TextMapPropagator | None = None
        self._names: frozenset[bytes] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application with the headers that the server span's parent is read from."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope = {**scope, "headers": self._passing(scope["headers"])}
        token = context.attach(baggage.clear())  # that of a host's middleware around the service
        try:
            await self._app(scope, receive, send)
        finally:
            context.detach(token)

    def _passing(self, headers: _Headers) -> _Headers:
        propagator = propagate.get_global_textmap()
        if propagator is not self._propagator:
            self._names = frozenset(name.lower().encode() for name in (*_FIELDS, *propagator.fields))
            self._propagator = propagator
        names = self._names
        kept = [(name, value) for name, value in headers if name not in names and not name.startswith(_PREFIXES)]
        if len(kept) == len(headers):
            return headers
        try:
            parent = self._parent(headers)
        except Exception as error:  # of a propagator or sampler that is not ours
            _log.debug("a caller's trace context cannot be read: %s", type(error).__name__)
            parent = None
        if parent is not None:
            propagate.inject(kept, trace.set_span_in_context(NonRecordingSpan(parent), Context()), _setter)
        return kept

    def _parent(self, headers: _Headers) -> SpanContext | None:
        found = trace.get_current_span(propagate.extract(headers, Context(), _getter)).get_span_context()
        if self._trusted or not found.is_valid:
            return found if found.is_valid else None
        flags = self._decided(found.trace_flags)
        return None if flags is None else SpanContext(found.trace_id, found.span_id, is_remote=True, trace_flags=flags)

    def _decided(self, given: TraceFlags) -> TraceFlags | None:
        """The flags of a trace that begins here; ``None`` where only a trace without a parent has them."""
        used = trace.get_tracer_provider() if isinstance(self._provider, GlobalTracerProvider) else self._provider
        if isinstance(used, trace.ProxyTracerProvider | GlobalTracerProvider):
            return given
        if not isinstance(used, TracerProvider):
            return None
        return TraceFlags(TraceFlags.SAMPLED if _is_sampled(used.sampler) else TraceFlags.DEFAULT)


def _is_sampled(sampler: Sampler) -> bool:
    """Asks for a trace id of our own: a caller could choose one that the sampler always takes, or never."""
    decision = sampler.should_sample(Context(), _ids.generate_trace_id(), "HTTP request").decision
    return decision is Decision.RECORD_AND_SAMPLE


class _HeaderGetter(Getter[_Headers]):
    """Reads headers whatever their bytes."""

    def get(self, carrier: _Headers, key: str) -> list[str] | None:
        name = key.lower().encode()
        return [value.decode("latin-1") for one, value in carrier if one == name] or None

    def keys(self, carrier: _Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


class _HeaderSetter(Setter[_Headers]):
    def set(self, carrier: _Headers, key: str, value: str) -> None:
        carrier.append((key.lower().encode("latin-1"), value.encode("latin-1")))


_getter, _setter = _HeaderGetter(), _HeaderSetter()
