"""One MCP request or notification, or one session: its span, its duration, and the failure that it ended with.

Which attribute is set when, and which JSON-RPC codes are errors, is the conventions'
``model/mcp/{common,metrics,spans}.yaml``:
https://github.com/open-telemetry/semantic-conventions-genai/blob/0e5e6a8d59d38c9c19556a5164a83cc11a7d53ff/model/mcp/common.yaml
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.context import attach as attach_context
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import INVALID_SPAN, ProxyTracerProvider, Span, SpanKind, Status, StatusCode

from telemetry._base.printable import printable
from telemetry._sdk.context import attributes_of, current_context, detach
from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.catalogue_genai import ADDRESS, PORT
from telemetry.metric import HistogramKind, Label, Metric, telemetry_metrics
from telemetry.metric.label import INVALID
from telemetry.metric.label_values import text_of
from telemetry.pipeline.telemetry import Telemetry
from telemetry.tracing.provider import GlobalTracerProvider
from telemetry.tracing.span import SpanScope

__all__ = ["NO_FAILURE", "Failure", "MCPRecorder", "Message", "Operation", "Transport", "remote_context"]

_RESOURCE_METHODS = frozenset(
    {"resources/read", "resources/subscribe", "resources/unsubscribe", "notifications/resources/updated"}
)
_TOOL_CALL = "tools/call"
_TEXT = 500
"""Characters of a peer's text that a span keeps."""
_EXECUTE_TOOL = "execute_tool"
_SPANS_AT_ONCE = 100
_SPANS_PER_SECOND = 10
"""Spans of limited messages, of one measured client or server: at most 150 in the 5 s between two exports of the SDK's queue,
which holds 2048."""


@dataclass(frozen=True, slots=True)
class Transport:
    """How the messages of a session travel; empty where that is not known.

    Attributes:
        network: ``pipe`` for stdio, ``tcp`` or ``quic`` for HTTP.
        protocol: ``http`` where it is HTTP.
        address: Host of the server, for its clients.
        port: Port of the server, for its clients.

    Raises:
        ValueError: ``network`` is none of the label's values.
    """

    network: str = ""
    protocol: str = ""
    address: str = ""
    port: str = ""

    def __post_init__(self) -> None:
        if self.network not in ("", *rows.TRANSPORT.values):
            raise ValueError(f"transport must be one of {', '.join(rows.TRANSPORT.values)}; it is {self.network!r}")

    def labels(self) -> dict[str, str]:
        """Returns the labels of the transport."""
        return {
            rows.TRANSPORT.key: self.network,
            rows.PROTOCOL_NAME.key: self.protocol,
            ADDRESS.key: self.address,
            PORT.key: self.port,
        }


class Failure(NamedTuple):
    """How an operation failed.

    Attributes:
        error_type: Value of ``error.type``; empty where the operation counts as served.
        status_code: JSON-RPC code of the answer; empty where there was none.
        message: Message of the JSON-RPC error, for the span.
    """

    error_type: str = ""
    status_code: str = ""
    message: str = ""


NO_FAILURE = Failure()


class Message(NamedTuple):
    """What an operation is about."""

    method: str
    tool: str = ""
    prompt: str = ""
    uri: str = ""

    @classmethod
    def of(cls, method: str, params: Any) -> Message:
        """Returns what a message is about; texts that no label may have are ``invalid``."""
        method = _allowed(rows.METHOD, method) or INVALID
        values = params if isinstance(params, Mapping) else {}
        name, uri = values.get("name"), values.get("uri")
        tool = _name(name) if method == _TOOL_CALL else ""
        prompt = _name(name) if method == "prompts/get" else ""
        return cls(method, tool, prompt, _uri(uri) if method in _RESOURCE_METHODS else "")

    def labels(self) -> dict[str, str]:
        """Returns the labels of the message."""
        return {
            rows.METHOD.key: self.method,
            rows.MCP_OPERATION.key: _EXECUTE_TOOL if self.method == _TOOL_CALL else "",
            rows.MCP_TOOL.key: self.tool,
            rows.MCP_PROMPT.key: self.prompt,
        }

    @property
    def span_name(self) -> str:
        """The method, with the tool or the prompt where it is one of a bounded number."""
        target = self.tool or self.prompt
        return f"{self.method} {target}" if target and target not in (INVALID, "other") else self.method


def _name(value: object) -> str:
    return _allowed(rows.TOOL_NAME, value) if isinstance(value, str) else INVALID


def _uri(value: object) -> str:
    return value if isinstance(value, str) else ""


def _allowed(label: Label, value: str) -> str:
    """Returns the value, or ``invalid`` for one that the label cannot have: peers may send anything."""
    fits = label.pattern is None or (label.pattern.fullmatch(value) and text_of(value) is not None)
    return value if not value or fits else INVALID


def _values(metric: Metric, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple([_allowed(label, labels.get(label.key, "")) for label in metric.labels])


class _SpanAllowance:
    """A token bucket: how many more spans of limited messages may be opened now."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._read = clock()
        self._left = float(_SPANS_AT_ONCE)

    def has_room(self) -> bool:
        """Returns whether one more span may be opened."""
        now = self._clock()
        self._left = min(_SPANS_AT_ONCE, self._left + (now - self._read) * _SPANS_PER_SECOND)
        self._read = now
        return self._left >= 1

    def take(self) -> None:
        """Takes the room of a span that is recorded."""
        self._left -= 1


class MCPRecorder:
    """Records MCP's rows where the telemetry's catalogue has them; the spans are opened in any case.

    Args:
        telemetry: Its catalogue may lack rows.
        joins_tool_spans: Whether a tool call under an ``execute_tool`` span adds its attributes to that span, in place of a
            span of its own.
    """

    def __init__(self, telemetry: Telemetry, *, joins_tool_spans: bool = False) -> None:
        self._telemetry = telemetry
        self.joins_tool_spans = joins_tool_spans
        self.clock = telemetry.runtime.clock
        self.tracer = telemetry.runtime.tracer
        self.allowance = _SpanAllowance(self.clock)
        """Room for spans of limited messages."""

    def record_failure(self, error: Exception) -> None:
        """Counts, and logs once, a failure of the telemetry itself, which the measured code must not see."""
        diagnostics = self._telemetry.diagnostics
        diagnostics.count(telemetry_metrics.DROPPED.name, "span", "failed")
        diagnostics.log_once(("mcp", type(error)), "telemetry failed beside an MCP operation: %r", error)

    def attributes(self, metric: Metric[HistogramKind], labels: Mapping[str, str]) -> Mapping[str, str]:
        """Returns the attributes of a row's series: bounded where the catalogue has the row."""
        values = _values(metric, labels)
        if self._telemetry.catalogue.has(metric):
            values, _ = self._telemetry.domains.resolve_values(metric, values)
        return metric.attributes(values)

    def record(
        self, metric: Metric[HistogramKind], labels: Mapping[str, str], seconds: float, scope: SpanScope | None = None
    ) -> None:
        """Records a duration in seconds, with the span as its exemplar."""
        if not self._telemetry.catalogue.has(metric):
            return
        series = self._telemetry[metric].labels(*_values(metric, labels))
        reference = scope.span_reference(series.source.takes_sampled) if scope is not None else None
        series.record_with_exemplar(seconds, reference)

    def traces(self) -> bool:
        """Returns whether spans are opened at all; otherwise only a parent's context may be passed on."""
        provider = self._telemetry.tracer_provider
        return not (isinstance(provider, GlobalTracerProvider) and isinstance(trace.get_tracer_provider(), ProxyTracerProvider))


class _ToolSpan(SpanScope):
    """The ``execute_tool`` span that is current already, and stays so."""

    def __init__(self, span: Span, attributes: Mapping[str, str], recorder: MCPRecorder) -> None:
        super().__init__(span, {}, recorder.record_failure, None)
        self.label(attributes, None)

    def close(self, seconds: float | None = None) -> None:
        """Leaves the span to its owner."""


class Operation:
    """Measures a request or notification from its sending to its answer, or from its receipt to its end.

    No failure of the telemetry reaches the block, and the exception that leaves the block is never changed.

    Args:
        recorder: Records the duration.
        metric: The row of the sender or of the receiver.
        message: What it is about.
        transport: How the message travels.
        version: The protocol's version; empty before it is negotiated.
        parent: Context of the sender's span, where the message carried one.
        is_limited: Whether the peer or the program may send any number of such messages, as of notifications. Of these at most
            100 at once, and 10 a second, have spans; all have durations.
    """

    __slots__ = (
        "_failure",
        "_is_limited",
        "_metric",
        "_parent",
        "_recorder",
        "_scope",
        "_start",
        "_token",
        "_transport",
        "message",
        "version",
    )

    def __init__(
        self,
        recorder: MCPRecorder,
        metric: Metric[HistogramKind],
        message: Message,
        transport: Transport,
        version: str,
        parent: Context | None = None,
        *,
        is_limited: bool = False,
    ) -> None:
        self._recorder = recorder
        self._is_limited = is_limited
        self._metric = metric
        self._transport = transport
        self._parent = parent
        self._failure = NO_FAILURE
        self._scope: SpanScope | None = None
        self._token: Token[Context] | None = None
        self.message = message
        """May be replaced until the end, when it is known what the message was about."""
        self.version = version
        """The protocol's version; may be set until the end."""

    @property
    def failure(self) -> Failure:
        """How the operation failed, as far as it is known."""
        return self._failure

    def fail(self, failure: Failure) -> None:
        """Sets how the operation failed."""
        self._failure = failure

    def annotate(self, attributes: Mapping[str, str | int]) -> None:
        """Sets attributes of the span that no metric has."""
        span = self._scope.span if self._scope is not None else INVALID_SPAN
        try:
            if span.is_recording():
                span.set_attributes(
                    {key: printable(value, _TEXT) if isinstance(value, str) else value for key, value in attributes.items()}
                )
        except Exception as error:
            self._recorder.record_failure(error)

    def __enter__(self) -> Self:
        try:
            self._open()
        except Exception as error:
            self._recorder.record_failure(error)
        self._start = self._recorder.clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        seconds = self._recorder.clock() - self._start
        try:
            self._end(seconds)
        except Exception as failure:
            self._recorder.record_failure(failure)
        finally:
            if self._scope is not None:
                self._scope.close(seconds)
            detach(self._token)

    def _open(self) -> None:
        recorder = self._recorder
        attributes = recorder.attributes(self._metric, self._labels())
        current = trace.get_current_span()
        if self._is_joined(current):
            self._scope = _ToolSpan(current, attributes, recorder)
            return
        if self._parent is not None:
            self._token = attach_context(self._parent)
        if self._is_limited and not recorder.allowance.has_room():
            return
        is_client = self._metric is rows.MCP_CLIENT_OPERATION_DURATION
        kind = SpanKind.CLIENT if is_client else SpanKind.SERVER
        self._scope = scope = SpanScope.open(recorder.tracer, self.message.span_name, attributes, recorder.record_failure, kind)
        if self._is_limited and scope.span.is_recording():
            recorder.allowance.take()
        around = current.get_span_context()
        if self._parent is not None and around.is_valid:
            if around.span_id != trace.get_current_span(self._parent).get_span_context().span_id:
                scope.span.add_link(around)  # of the transport, such as the HTTP server's span
        elif not around.is_valid and not recorder.traces():
            scope.leave()  # ids of a span that nothing records would make the peer's spans unsampled
        if self.message.uri:
            self.annotate({"mcp.resource.uri": self.message.uri})

    def _is_joined(self, current: Span) -> bool:
        return (
            self._recorder.joins_tool_spans
            and self.message.method == _TOOL_CALL
            and current.is_recording()
            and attributes_of(current).get(rows.MCP_OPERATION.key) == _EXECUTE_TOOL
        )

    def _end(self, seconds: float) -> None:
        labels, scope = self._labels(), self._scope
        if scope is not None and scope.span.is_recording():
            scope.label(self._recorder.attributes(self._metric, labels), None)
            if not isinstance(scope, _ToolSpan):
                scope.span.update_name(self.message.span_name)
            if self._failure.error_type:
                scope.span.set_status(Status(StatusCode.ERROR, printable(self._failure.message, _TEXT) or None))
        self._recorder.record(self._metric, labels, seconds, scope)

    def _labels(self) -> dict[str, str]:
        return {
            **self.message.labels(),
            **self._transport.labels(),
            rows.PROTOCOL_VERSION.key: self.version,
            rows.STATUS_CODE.key: self._failure.status_code,
            ERROR_TYPE: self._failure.error_type,
        }


def remote_context(params: Any) -> Context | None:
    """Returns the context of the sender's span from a message's ``params._meta``; None where there is none."""
    meta = params.get("_meta") if isinstance(params, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    try:
        context = propagate.extract(meta, current_context())
        return context if trace.get_current_span(context) is not trace.get_current_span() else None
    except Exception:  # a peer may send anything in place of a traceparent
        return None
