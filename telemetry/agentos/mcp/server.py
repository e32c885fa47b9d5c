"""MCP servers: the operations they receive and send, and the duration of their sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import Context as VariableContext
from contextvars import ContextVar, copy_context
from typing import Any, Literal, Self, TypeVar

from mcp.server import Server
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp_types import methods
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PROTOCOL_VERSION

from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.mcp import sdk_private
from telemetry.agentos.mcp.incoming import failure_of_handler
from telemetry.agentos.mcp.operation import Failure, MCPRecorder, Message, Operation, Transport, remote_context
from telemetry.agentos.mcp.outgoing import TOOL_ERROR, Sender, is_tool_error, name_of_failure
from telemetry.metric.label import OTHER
from telemetry.pipeline.telemetry import Telemetry

__all__ = ["measure_server"]

S = TypeVar("S", MCPServer, Server)
_SPECIFIED = methods.SPEC_CLIENT_METHODS | methods.SPEC_CLIENT_NOTIFICATION_METHODS
_HTTP = Transport("tcp", "http")
_NAMES = 1000
"""Names of tools and prompts that are kept at most for a server that has no list of them."""


def measure_server(
    telemetry: Telemetry, server: S, *, tools: Collection[str] = (), transport: Literal["", "pipe", "tcp", "quic"] = "pipe"
) -> S:
    """Measures an MCP server before it runs: ``measure_server(telemetry, MCPServer("name")).run()``.

    Each request and notification that it receives records ``mcp.server.operation.duration``, each that it sends records
    ``mcp.client.operation.duration``, in a span with the same labels. The server's spans continue the client's trace, by
    ``params._meta``, and take the place of those that the SDK opens. Sessions record ``mcp.server.session.duration``: those
    of stdio and of HTTP with a session id. The protocol of 2026-07-28 has no sessions over HTTP.

    A name that a client sends becomes a label only where the server has a tool of it: of an ``MCPServer``, the registered
    ones; of a ``Server``, ``tools`` and those that it has listed or answered. Others are ``other``.

    Args:
        telemetry: Its tracer opens the spans; durations are recorded where its catalogue has the rows.
        server: It is measured in place.
        tools: Names of the tools of a ``Server``.
        transport: ``network.transport`` of sessions that are not over HTTP.

    Returns:
        The same server.

    Raises:
        TypeError: ``server`` is neither an ``MCPServer`` nor a ``Server``.
        ValueError: ``transport`` is not one that is allowed.
    """
    if not isinstance(server, MCPServer | Server):
        raise TypeError(f"measure_server() takes an MCPServer or a Server of the mcp SDK, not {server!r:.100}")
    way = Transport(transport)
    recorder = MCPRecorder(telemetry)
    try:
        _measure(server, recorder, frozenset(tools), way)
    except Exception as error:  # a later version of the SDK may have changed; its server works all the same
        recorder.record_failure(error)
    return server


def _measure(server: MCPServer | Server[Any], recorder: MCPRecorder, tools: Collection[str], transport: Transport) -> None:
    lowlevel = sdk_private.lowlevel_of(server)
    if any(isinstance(middleware, _Middleware) for middleware in lowlevel.middleware):
        return
    names = _Names(lowlevel, tools, learns=not isinstance(server, MCPServer))
    run: Any = _measured_run(lowlevel.run, recorder)
    others: list[Any] = [each for each in lowlevel.middleware if not sdk_private.is_span_middleware(each)]
    ours: Any = _Middleware(recorder, names, transport)
    lowlevel.middleware[:] = [ours, *others]
    lowlevel.run = run  # type: ignore[method-assign]


class _Names:
    """Knows which methods, tools and prompts a server has."""

    def __init__(self, server: Server[Any], tools: Collection[str], *, learns: bool) -> None:
        self._server = server
        self._learns = learns
        self._tools = set(tools)
        self._prompts: set[str] = set()

    def message(self, ctx: ServerRequestContext[Any, Any]) -> Message:
        """Returns what a received message is about, without names that the server does not have."""
        message = Message.of(self._method(ctx.method), ctx.params)
        if message.tool and not self._has_tool(message.tool):
            return message._replace(tool=OTHER)
        if message.prompt and message.prompt not in self._prompts:
            return message._replace(prompt=OTHER)
        return message

    def learn(self, ctx: ServerRequestContext[Any, Any], result: Any) -> None:
        """Takes names from an answer: the listed ones, and the one that was asked for."""
        if not isinstance(result, Mapping):
            return
        if ctx.method in ("tools/list", "tools/call") and self._learns:
            self._add(self._tools, "tools", ctx, result)
        elif ctx.method in ("prompts/list", "prompts/get"):
            self._add(self._prompts, "prompts", ctx, result)

    def _add(self, names: set[str], key: str, ctx: ServerRequestContext[Any, Any], result: Mapping[str, Any]) -> None:
        answered = [ctx.params] if ctx.method.endswith(("/call", "/get")) else result.get(key, ())
        for one in answered:
            name = one.get("name") if isinstance(one, Mapping) else None
            if isinstance(name, str) and len(names) < _NAMES:
                names.add(name)

    def _method(self, method: str) -> str:
        server = self._server
        has = method in _SPECIFIED or server.get_request_handler(method) or server.get_notification_handler(method)
        return method if has else OTHER

    def _has_tool(self, name: str) -> bool:
        if name in self._tools:
            return True
        find = self._server.get_tool_input_schema
        return find is not None and find(name) is not None


class _Session:
    """A session under way."""

    def __init__(self, recorder: MCPRecorder) -> None:
        self._recorder = recorder
        self._start = recorder.clock()
        self._transport = Transport()
        self._version: str | None = None

    def see(self, transport: Transport, version: str) -> None:
        """Takes from a message how the session travels, and which version it speaks."""
        self._transport = transport
        self._version = version or self._version or ""

    def end(self, failure: str = "") -> None:
        """Records the duration; not of a connection that no message came over."""
        if self._version is None:
            return
        labels = {**self._transport.labels(), rows.PROTOCOL_VERSION.key: self._version, rows.FAILURE.key: failure}
        try:
            self._recorder.record(rows.MCP_SERVER_SESSION_DURATION, labels, self._recorder.clock() - self._start)
        except Exception as error:
            self._recorder.record_failure(error)


_session: ContextVar[_Session | None] = ContextVar("mcp_session", default=None)
_SESSION = "telemetry.agentos.mcp"
"""Key in a connection's ``state``."""


class _ReadStream:
    """The stream of a session's messages, whose handlers run in a context that knows the session."""

    def __init__(self, stream: Any, session: _Session) -> None:
        self._stream = stream
        self._own = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def last_context(self) -> VariableContext:
        """The sender's context of the last message, with the session."""
        sent: VariableContext | None = getattr(self._stream, "last_context", None)
        context = copy_context() if sent is None else sent.copy()
        context.run(_session.set, self._own)
        return context

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._stream.__anext__()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        return await self._stream.__aexit__(*raised)


def _measured_run(run: Callable[..., Awaitable[None]], recorder: MCPRecorder) -> Callable[..., Awaitable[None]]:
    """Returns ``run`` of a server, which serves one connection over a pair of streams."""

    async def measured(read_stream: Any, *args: Any, **options: Any) -> None:
        session, failure = _Session(recorder), ""
        try:
            await run(_ReadStream(read_stream, session), *args, **options)
        except Exception as error:
            failure = name_of_failure(error)
            raise
        finally:
            session.end(failure)

    return measured


class _Middleware:
    """Measures each message that a server receives, in place of the SDK's ``OpenTelemetryMiddleware``."""

    def __init__(self, recorder: MCPRecorder, names: _Names, transport: Transport) -> None:
        self._recorder = recorder
        self._names = names
        self._transport = transport

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Measures one message; see ``mcp.server.context.ServerMiddleware``."""
        if _is_internal(ctx):
            return await call_next(ctx)
        operation = self._prepare(ctx)
        if operation is None:
            return await call_next(ctx)
        with operation:
            operation.annotate(_details(ctx))
            try:
                result = await call_next(ctx)
            except BaseException as error:
                failure = failure_of_handler(error, ctx.protocol_version, is_request=ctx.request_id is not None)
                operation.fail(failure)
                raise
            self._finish(ctx, operation, result)
            return result

    def _prepare(self, ctx: ServerRequestContext[Any, Any]) -> Operation | None:
        transport = self._transport if ctx.request is None else _HTTP
        version = "" if ctx.method == "initialize" else ctx.protocol_version
        try:
            self._watch_connection(ctx, transport, version)
        except Exception as error:
            self._recorder.record_failure(error)
        try:
            message, metric = self._names.message(ctx), rows.MCP_SERVER_OPERATION_DURATION
            parent, is_limited = remote_context(ctx.params), ctx.request_id is None
            return Operation(self._recorder, metric, message, transport, version, parent, is_limited=is_limited)
        except Exception as error:
            self._recorder.record_failure(error)
            return None

    def _finish(self, ctx: ServerRequestContext[Any, Any], operation: Operation, result: Any) -> None:
        try:
            if ctx.method == "initialize" and isinstance(result, Mapping):
                operation.version = str(result.get("protocolVersion", ""))
                self._watch_connection(ctx, self._transport if ctx.request is None else _HTTP, operation.version)
            if is_tool_error(ctx.method, result):
                operation.fail(Failure(TOOL_ERROR))
                return
            self._names.learn(ctx, result)
            operation.message = self._names.message(ctx)
        except Exception as error:
            self._recorder.record_failure(error)

    def _watch_connection(self, ctx: ServerRequestContext[Any, Any], transport: Transport, version: str) -> None:
        """Measures what the server sends by the message's connection, and the session where it has one."""
        connection = sdk_private.connection_of(ctx.session)
        session = _session.get()
        if session is None and getattr(connection, "session_id", None) is not None:
            session = connection.state.get(_SESSION)
            if session is None:
                session = connection.state[_SESSION] = _Session(self._recorder)
                connection.exit_stack.callback(session.end)
        if session is not None:
            session.see(transport, version)
        outbound = sdk_private.outbound_of(ctx.session)
        if outbound is not None:
            _measured_sender(self._recorder, outbound, transport, version)


def _measured_sender(recorder: MCPRecorder, outbound: Any, transport: Transport, version: str) -> None:
    """Measures what is sent by an object of the SDK, and tells it the version."""
    sender = getattr(outbound, "_agentos_sender", None)
    if sender is None:
        sender = outbound._agentos_sender = Sender(recorder, transport)
        sender.measure(outbound)
    sender.version = version or sender.version


def _is_internal(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Returns whether the SDK itself asks for the tools, to check the headers of a tool call of the protocol of 2026-07-28."""
    headers = getattr(ctx.request, "headers", None)
    if headers is None or ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    return bool(headers.get("mcp-method", ctx.method) != ctx.method)


def _details(ctx: ServerRequestContext[Any, Any]) -> dict[str, str | int]:
    """Returns attributes of the span that no metric has."""
    details: dict[str, str | int] = {}
    if ctx.request_id is not None:
        details["jsonrpc.request.id"] = str(ctx.request_id)
    session_id = getattr(sdk_private.connection_of(ctx.session), "session_id", None)
    if session_id is not None:
        details["mcp.session.id"] = session_id
    client = getattr(ctx.request, "client", None)
    if client is not None:
        details |= {"client.address": client.host, "client.port": client.port}
    http_version = getattr(ctx.request, "scope", {}).get("http_version")
    if http_version:
        details[NETWORK_PROTOCOL_VERSION] = http_version
    return details
