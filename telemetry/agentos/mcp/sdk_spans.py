"""Keeps the SDK from opening a span of its own for a request that is measured here.

The SDK's dispatcher opens a span named ``MCP send ...`` by the global tracer provider around each request, and has no setting
for it. Its tracer is replaced by one that does the same, except for the one request that ``measured_request`` is around: there
the measured operation's span stays current, and what the SDK says of its span tells whether an answer came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanKind

from telemetry.agentos.mcp import sdk_private

__all__ = ["SDKSpan", "measured_request", "replace_sdk_tracer"]


class SDKSpan(NonRecordingSpan):
    """Stands for the SDK's span, and keeps what the SDK says of it.

    Attributes:
        is_used: Whether the SDK has taken it.
        request_id: The JSON-RPC id of the request; empty while it is not known.
        status_code: The JSON-RPC code of the answer; empty where there was no answer, or no error.
    """

    def __init__(self) -> None:
        super().__init__(INVALID_SPAN_CONTEXT)
        self.is_used = False
        self.request_id = ""
        self.status_code = ""

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Takes the code of an answer that is an error."""
        self.status_code = str(attributes.get("rpc.response.status_code", self.status_code))


_request: ContextVar[SDKSpan | None] = ContextVar("mcp_request", default=None)


class _Tracer:
    """The SDK's tracer, except for measured requests."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracer, name)

    def start_as_current_span(
        self, name: str, *args: Any, kind: SpanKind = SpanKind.INTERNAL, attributes: Any = None, **options: Any
    ) -> AbstractContextManager[Any]:
        """Opens the SDK's span, unless it is that of a measured request."""
        span = _request.get()
        if span is None or span.is_used or kind is not SpanKind.CLIENT:
            opened: AbstractContextManager[Any] = self._tracer.start_as_current_span(
                name, *args, kind=kind, attributes=attributes, **options
            )
            return opened
        span.is_used = True  # tasks of the transport and of a server in this process inherit the context
        span.request_id = str((attributes or {}).get("jsonrpc.request.id", ""))
        return nullcontext(span)


def replace_sdk_tracer() -> None:
    """Replaces the SDK's tracer, once a process. Does nothing where a later SDK has none at this place."""
    sdk_private.replace_tracer(lambda tracer: tracer if isinstance(tracer, _Tracer) else _Tracer(tracer))


@contextmanager
def measured_request() -> Iterator[SDKSpan]:
    """The next span that the SDK would open for a request in this context is the yielded one."""
    span = SDKSpan()
    token = _request.set(span)
    try:
        yield span
    finally:
        _request.reset(token)
