"""MCP clients: the operations they send and receive, and the duration of their sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters
from mcp_types import methods

from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.mcp import sdk_private
from telemetry.agentos.mcp.incoming import failure_of_handler
from telemetry.agentos.mcp.operation import MCPRecorder, Message, Operation, Transport, remote_context
from telemetry.agentos.mcp.outgoing import CANCELLED, CLOSED, Sender
from telemetry.metric.label import OTHER
from telemetry.pipeline.telemetry import Telemetry

__all__ = ["measure_client"]

C = TypeVar("C", Client, ClientSession)
_PORTS = {"http": "80", "https": "443"}
_RECEIVED = frozenset(method for table in (methods.SERVER_REQUESTS, methods.SERVER_NOTIFICATIONS) for method, _ in table)


def measure_client(
    telemetry: Telemetry,
    client: C,
    *,
    url: str = "",
    transport: Literal["", "pipe", "tcp", "quic"] = "",
    join_tool_spans: bool = False,
) -> C:
    """Measures an MCP client before it is entered: ``async with measure_client(telemetry, Client(url)) as client``.

    Each session records ``mcp.client.session.duration``; each request and notification that it sends records
    ``mcp.client.operation.duration``, each that it receives ``mcp.server.operation.duration``, in a span with the same labels.
    The server's spans continue the client's trace, by ``params._meta``.

    Args:
        telemetry: Its tracer opens the spans; durations are recorded where its catalogue has the rows.
        client: A ``Client``, or a ``ClientSession``; it is measured in place.
        url: Address of a server over HTTP, for what is not a ``Client(url)``.
        transport: ``network.transport`` where neither ``url`` nor the client tells it: ``pipe`` for stdio.
        join_tool_spans: Whether a tool call under an ``execute_tool`` span adds its attributes to that span, in place of a
            span of its own.

    Returns:
        The same client.

    Raises:
        TypeError: ``client`` is neither of both.
        ValueError: ``url`` or ``transport`` is not one that is allowed.
    """
    recorder = MCPRecorder(telemetry, joins_tool_spans=join_tool_spans)
    if isinstance(client, Client):
        attach: Callable[[], None] = partial(_measure_connections, client, recorder, _client_transport(client, url, transport))
    elif isinstance(client, ClientSession):
        attach = partial(_measure_session, client, recorder, _transport(url, transport))
    else:
        raise TypeError(f"measure_client() takes a Client or a ClientSession of the mcp SDK, not {client!r:.100}")
    try:
        attach()
    except Exception as error:  # a later version of the SDK may have changed; its client works all the same
        recorder.record_failure(error)
    return client


def _client_transport(client: Client, url: str, network: str) -> Transport:
    transport = _transport(url or (client.server if isinstance(client.server, str) else ""), network)
    is_stdio = not transport.network and isinstance(client.server, StdioServerParameters)
    return Transport("pipe") if is_stdio else transport


def _transport(url: str, network: str) -> Transport:
    if not url:
        return Transport(network)
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"url must be an address that starts with http:// or https://; it is {url!r:.100}")
    return Transport(network or "tcp", "http", parts.hostname, str(parts.port or _PORTS[parts.scheme]))


def _measure_connections(client: Client, recorder: MCPRecorder, way: Transport) -> None:
    """Measures each dispatcher that the client makes when it is entered."""

    def measured(connect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def connected(*args: Any) -> Any:
            outside = sdk_private.cancel_scopes()
            dispatcher = await connect(*args)
            try:
                inside = [scope for scope in sdk_private.cancel_scopes() if scope not in outside]
                _measure(dispatcher, recorder, way, inside)
            except Exception as error:
                recorder.record_failure(error)
            return dispatcher

        return connected

    sdk_private.replace_connect(client, measured)


def _measure_session(session: ClientSession, recorder: MCPRecorder, way: Transport) -> None:
    _measure(sdk_private.dispatcher_of(session), recorder, way)


def _measure(dispatcher: Any, recorder: MCPRecorder, way: Transport, scopes: Sequence[Any] = ()) -> None:
    if "run" in vars(dispatcher):
        return
    sender = Sender(recorder, way)
    sender.transport_scopes = scopes
    sender.measure(dispatcher)
    dispatcher.run = _measured_run(dispatcher.run, sender)


def _measured_run(run: Callable[..., Awaitable[None]], sender: Sender) -> Callable[..., Awaitable[None]]:
    """Returns ``run`` of a dispatcher, which lasts as long as the session: the client ends it by cancelling it."""

    async def measured(on_request: Any, on_notify: Any, *args: Any, **options: Any) -> None:
        start, failure = sender.recorder.clock(), CLOSED
        try:
            handlers = (_measured_handler(on_request, sender, True), _measured_handler(on_notify, sender, False))
            await run(*handlers, *args, **options)
        except BaseException as error:
            failure = sender.handshake_failure or sender.name_of_failure(error)
            if failure == CANCELLED:
                failure = ""  # the client closes the session so
            raise
        finally:
            _record_session(sender, sender.recorder.clock() - start, failure)

    return measured


def _record_session(sender: Sender, seconds: float, failure: str) -> None:
    labels = {**sender.transport.labels(), rows.PROTOCOL_VERSION.key: sender.version, rows.FAILURE.key: failure}
    try:
        sender.recorder.record(rows.MCP_CLIENT_SESSION_DURATION, labels, seconds)
    except Exception as error:
        sender.recorder.record_failure(error)


def _measured_handler(handler: Callable[..., Awaitable[Any]], sender: Sender, is_request: bool) -> Any:
    """Returns the client's handler of what the server sends, measured as its receiver."""

    async def measured(context: Any, method: str, params: Mapping[str, Any] | None) -> Any:
        message = Message.of(method if method in _RECEIVED else OTHER, params)
        parent = remote_context(params)
        metric = rows.MCP_SERVER_OPERATION_DURATION
        with Operation(
            sender.recorder, metric, message, sender.transport, sender.version, parent, is_limited=True
        ) as operation:
            if context.request_id is not None:
                operation.annotate({"jsonrpc.request.id": str(context.request_id)})
            try:
                return await handler(context, method, params)
            except BaseException as error:
                operation.fail(failure_of_handler(error, sender.version, is_request=is_request))
                raise

    return measured
