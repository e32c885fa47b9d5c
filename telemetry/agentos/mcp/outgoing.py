"""Requests and notifications that a client or a server sends, measured at the SDK's dispatcher."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types import CONNECTION_CLOSED, PROTOCOL_VERSION_META_KEY, REQUEST_TIMEOUT
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from opentelemetry import propagate

from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.mcp.operation import Failure, MCPRecorder, Message, Operation, Transport
from telemetry.agentos.mcp.sdk_spans import SDKSpan, measured_request, replace_sdk_tracer

__all__ = ["CANCELLED", "CLOSED", "TOOL_ERROR", "Sender", "is_tool_error", "name_of_failure"]

CANCELLED = "cancelled"
"""``error.type`` of what its caller, or the peer that asked for it, has cancelled."""
CLOSED = "connection_closed"
"""``error.type`` of what was under way when the transport broke or the peer closed it."""
TOOL_ERROR = "tool_error"
"""``error.type`` of a tool call whose result says ``isError``."""
_WITHOUT_ANSWER = {CONNECTION_CLOSED: CLOSED, REQUEST_TIMEOUT: "timeout"}
"""``error.type`` of the errors that the SDK raises itself, by their code."""

Send = Callable[..., Awaitable[Any]]


class Sender:
    """Measures what leaves by one connection.

    Args:
        recorder: Records the durations.
        transport: How the messages travel.
        version: The protocol's version where it is known already.
    """

    def __init__(self, recorder: MCPRecorder, transport: Transport, version: str = "") -> None:
        replace_sdk_tracer()
        self.recorder = recorder
        self.transport = transport
        self.version = version
        """The protocol's version; empty before it is negotiated."""
        self.transport_scopes: Sequence[Any] = ()
        """The cancel scopes of the transport, where they are known: it cancels them when it breaks."""
        self.handshake_failure = ""
        """``error.type`` of the last request that opens a session, where it failed."""

    def name_of_failure(self, error: BaseException) -> str:
        """Returns ``error.type`` of an operation that ended without an answer: a transport that breaks cancels its callers."""
        broke = any(scope.cancel_called for scope in self.transport_scopes)
        return CLOSED if broke and not isinstance(error, Exception) else name_of_failure(error)

    def measure(self, outbound: Any) -> None:
        """Measures ``send_raw_request`` and ``notify`` of an object of the SDK from now on; a second time does nothing."""
        if "send_raw_request" in vars(outbound):
            return
        is_wire = isinstance(outbound, JSONRPCDispatcher)
        outbound.send_raw_request = self._measured_request(outbound.send_raw_request, is_wire)
        outbound.notify = self._measured_notification(outbound.notify)

    def _measured_request(self, send: Send, is_wire: bool) -> Send:
        async def send_raw_request(method: str, params: Any = None, *args: Any, **options: Any) -> Any:
            with self._operation(method, params) as operation:
                with measured_request() if is_wire else nullcontext(SDKSpan()) as span:
                    try:
                        result = await send(method, params, *args, **options)
                    except BaseException as error:
                        operation.fail(self._failure_of(error, span))
                        raise
                    finally:
                        if span.request_id:
                            operation.annotate({"jsonrpc.request.id": span.request_id})
                        self._learn(method, operation)
                self._read_result(method, operation, result)
                return result

        return send_raw_request

    def _measured_notification(self, send: Send) -> Send:
        async def notify(method: str, params: Any = None, *args: Any, **options: Any) -> Any:
            if self._is_not_sent(method):
                return await send(method, params, *args, **options)
            with self._operation(method, params, is_limited=True) as operation:
                try:
                    return await send(method, self._with_trace(params), *args, **options)
                except BaseException as error:
                    operation.fail(Failure(self.name_of_failure(error)))
                    raise

        return notify

    def _operation(self, method: str, params: Any, *, is_limited: bool = False) -> Operation:
        message = Message.of(method, params)
        version = _version_in(params) or ("" if method == "initialize" else self.version)
        metric = rows.MCP_CLIENT_OPERATION_DURATION
        return Operation(self.recorder, metric, message, self.transport, version, is_limited=is_limited)

    def _learn(self, method: str, operation: Operation) -> None:
        """Takes from a request that has ended whether the session is open, and which version it speaks."""
        if method in ("initialize", "server/discover"):
            self.handshake_failure = operation.failure.error_type
        if operation.version and not self.handshake_failure:
            self.version = operation.version

    def _read_result(self, method: str, operation: Operation, result: Any) -> None:
        if is_tool_error(method, result):
            operation.fail(Failure(TOOL_ERROR))
        elif method == "initialize" and isinstance(result, Mapping):
            self.version = operation.version = str(result.get("protocolVersion", ""))

    def _failure_of(self, error: BaseException, span: SDKSpan) -> Failure:
        """Returns how a request failed: by the code of its answer, or without an answer."""
        if not isinstance(error, MCPError):
            return Failure(self.name_of_failure(error))
        code = error.error.code
        timed_out = code == REQUEST_TIMEOUT and isinstance(error.__context__, TimeoutError)
        if (span.is_used and not span.status_code) or timed_out:
            return Failure(_WITHOUT_ANSWER.get(code, str(code)))
        return Failure(str(code), str(code), error.error.message)

    def _is_not_sent(self, method: str) -> bool:
        """Returns whether the SDK's transport takes the message: over HTTP a request is cancelled by closing its stream."""
        over_http = self.transport.protocol == "http" and self.version in MODERN_PROTOCOL_VERSIONS
        return over_http and method == "notifications/cancelled"

    def _with_trace(self, params: Any) -> Any:
        """Returns the parameters with the current span in ``_meta``, where a span is sampled or not but exists."""
        try:
            meta = dict((params or {}).get("_meta") or {})
            propagate.inject(meta)
            return {**(params or {}), "_meta": meta} if meta else params
        except Exception as error:
            self.recorder.record_failure(error)
            return params


def is_tool_error(method: str, result: Any) -> bool:
    """Returns whether a result, as it is on the wire, says that the tool failed."""
    return method == "tools/call" and isinstance(result, Mapping) and result.get("isError") is True


def name_of_failure(error: BaseException) -> str:
    """Returns ``error.type`` of an operation that ended without an answer: ``cancelled``, ``timeout`` or the class's name."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]  # a task group wraps what its task raised
    if not isinstance(error, Exception):
        return CANCELLED
    return "timeout" if isinstance(error, TimeoutError) else type(error).__qualname__


def _version_in(params: Any) -> str:
    meta = params.get("_meta") if isinstance(params, Mapping) else None
    version = meta.get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, Mapping) else None
    return version if isinstance(version, str) else ""
