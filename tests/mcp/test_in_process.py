"""A client and a server of one process: what becomes a label, which span a message has, and what cannot be measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import mcp_types as types
import pytest
from mcp import Client
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from pydantic import BaseModel

from telemetry import Catalogue, Telemetry
from telemetry.agentos import catalogue_agents
from telemetry.agentos.mcp import measure_client, measure_server
from telemetry.metric import Metric
from tests.helpers.mcp_server import build_server, telemetry_of
from tests.helpers.mcp_story import counts
from tests.helpers.samples import above_zero
from tests.helpers.span_log import SpanLog

CLIENT, SERVER = "mcp_client_operation_duration_seconds", "mcp_server_operation_duration_seconds"
Mode = Literal["legacy", "auto"]


def lowlevel() -> Server[Any]:
    """Returns a server without a list of its tools: ``echo`` and ``late`` answer, ``down`` fails, ``bug`` raises."""

    async def call(ctx: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name == "bug":
            raise RuntimeError("bug")
        text = types.TextContent(type="text", text=params.name)
        return types.CallToolResult(content=[text], is_error=params.name not in ("echo", "late"))

    async def listed(ctx: object, params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name="down", input_schema={"type": "object"})])

    return Server("lowlevel", on_call_tool=call, on_list_tools=listed)


async def test_a_server_without_a_list_learns_its_tools_from_what_it_lists_and_answers() -> None:
    """A name is a label once the server has listed it or has answered its call; until then a failing one is ``other``."""
    telemetry = telemetry_of()
    server = measure_server(telemetry, lowlevel())
    async with Client(server, mode="legacy") as client:
        for name in ("down", "missing", "echo"):
            await client.session.call_tool(name)
        await client.list_tools()
        await client.session.call_tool("down")
    assert _tools(telemetry, SERVER) == {
        "tools/call echo": 1,
        "tools/call other error=tool_error": 2,
        "tools/call down error=tool_error": 1,
    }


async def test_a_server_without_a_list_can_be_told_its_tools() -> None:
    """A tool that is named beforehand is a label from its first call on."""
    telemetry = telemetry_of()
    server = measure_server(telemetry, lowlevel(), tools=["down"])
    async with Client(server, mode="legacy") as client:
        await client.session.call_tool("down")
    assert _tools(telemetry, SERVER)["tools/call down error=tool_error"] == 1


@pytest.mark.parametrize(("mode", "code"), [("legacy", "0"), ("auto", "-32603")])
async def test_an_exception_without_a_code_has_the_code_that_the_sdk_answers(mode: Mode, code: str) -> None:
    """0 before 2026-07-28 and -32603 since: an error at both ends."""
    telemetry = telemetry_of()
    async with measure_client(telemetry, Client(measure_server(telemetry, lowlevel(), tools=["bug"]), mode=mode)) as client:
        with pytest.raises(MCPError):
            await client.call_tool("bug")
    assert _tools(telemetry, CLIENT) == _tools(telemetry, SERVER) == {f"tools/call bug error={code} code={code}": 1}


async def test_a_method_that_a_client_makes_up_is_no_label_of_the_server() -> None:
    """An unknown method is ``other`` at the server, and -32601 there is no error of the server's."""
    telemetry = telemetry_of()
    async with measure_client(telemetry, Client(measure_server(telemetry, lowlevel()), mode="legacy")) as client:
        for number in range(3):
            request: types.Request[Any, Any] = types.Request(method=f"made/up/{number}", params=None)
            with pytest.raises(MCPError):
                await client.session.send_request(request, types.EmptyResult)
    assert counts(above_zero(telemetry), SERVER)["other code=-32601"] == 3
    assert counts(above_zero(telemetry), CLIENT)["made/up/1 error=-32601 code=-32601"] == 1


async def test_a_clients_names_are_bounded_by_the_label() -> None:
    """A client that calls 103 names has series for 100 of them, and one for the rest."""
    telemetry = telemetry_of()
    async with measure_client(telemetry, Client(build_server(), mode="legacy")) as client:
        for number in range(103):
            await client.session.call_tool(f"tool-{number}")
    found = _tools(telemetry, CLIENT)
    assert len(found) == 101
    assert found["tools/call other error=tool_error"] == 3


async def test_names_that_no_label_may_have_are_invalid() -> None:
    """A name of 200 characters is ``invalid``, and its span is named by the method alone, also where labels are strict."""
    log = SpanLog()
    telemetry = telemetry_of(log)
    async with measure_client(telemetry, Client(build_server(), mode="legacy")) as client:
        await client.session.call_tool("x" * 200)
    assert _tools(telemetry, CLIENT) == {"tools/call invalid error=tool_error": 1}
    assert len(log.named("tools/call")) == 1


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_one_trace_in_one_process(mode: Mode) -> None:
    """A call is one client span and one server span under it, whether messages are serialized or handed over."""
    log = SpanLog()
    telemetry = telemetry_of(log)
    async with measure_client(telemetry, Client(measure_server(telemetry, build_server()), mode=mode)) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    received, sent = log.named("tools/call add")
    assert sent.context is not None
    assert received.parent is not None
    assert (received.parent.span_id, sent.parent) == (sent.context.span_id, None)


async def test_measuring_twice_is_measuring_once() -> None:
    """A client and a server that are measured already count each call once."""
    telemetry = telemetry_of()
    server = measure_server(telemetry, measure_server(telemetry, build_server()))
    async with measure_client(telemetry, measure_client(telemetry, Client(server, mode="legacy"))) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    assert _tools(telemetry, CLIENT) == _tools(telemetry, SERVER) == {"tools/call add": 1}


async def test_a_tools_span_may_take_the_attributes_of_its_call() -> None:
    """Under an ``execute_tool`` span no second span is opened if the client joins it; the server's span is its child."""
    log = SpanLog()
    telemetry = telemetry_of(log)
    server = measure_server(telemetry, build_server())
    async with measure_client(telemetry, Client(server, mode="legacy"), join_tool_spans=True) as client:
        await client.list_tools()
        with telemetry.tracer.start_as_current_span("execute_tool add", attributes={"gen_ai.operation.name": "execute_tool"}):
            await client.call_tool("add", {"a": 1, "b": 2})
    (outer,) = log.named("execute_tool add")
    (received,) = log.named("tools/call add")
    assert outer.context is not None
    assert received.parent is not None
    assert received.parent.span_id == outer.context.span_id
    assert outer.attributes is not None
    assert outer.attributes["mcp.method.name"] == "tools/call"
    assert _tools(telemetry, CLIENT) == {"tools/call add": 1}


async def test_spans_need_no_rows() -> None:
    """A telemetry whose catalogue has no row of MCP opens the spans, and records nothing."""
    log = SpanLog()
    telemetry = Telemetry(Catalogue(()), span_processors=[log], workers=False, strict=True)
    async with measure_client(telemetry, Client(measure_server(telemetry, build_server()), mode="legacy")) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    assert len(log.named("tools/call add")) == 2
    assert [key for key in above_zero(telemetry) if "mcp" in key[0]] == []


class _Broken(SpanProcessor):
    """Fails at each span."""

    def on_start(self, span: object, parent_context: object = None) -> None:
        raise RuntimeError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("on_end")


def _raising(*args: object) -> Any:
    raise RuntimeError("broken")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("broken", ["spans", "labels", "series"])
async def test_a_telemetry_that_fails_breaks_no_call(mode: Mode, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failing span processors, labels that cannot be resolved, instruments that are not there: each call returns its result."""
    telemetry = telemetry_of(*([_Broken()] if broken == "spans" else []))
    server = measure_server(telemetry, build_server())
    client = measure_client(telemetry, Client(server, mode=mode))
    if broken == "labels":
        monkeypatch.setattr(telemetry.domains, "resolve_values", _raising)
    if broken == "series":
        monkeypatch.setattr(Telemetry, "__getitem__", _raising)
    async with client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
    assert result.structured_content == {"result": 3}


async def test_a_client_that_has_changed_is_not_measured_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a later SDK lacks what is measured, the failure is counted, and the session is as without us."""
    telemetry = telemetry_of()
    client = Client(build_server(), mode="legacy")
    with monkeypatch.context() as changed:
        changed.delattr(client, "_connect")
        measure_client(telemetry, client)
    async with client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
    assert result.structured_content == {"result": 3}
    assert above_zero(telemetry, "mcp") == {}


async def test_a_server_that_has_changed_is_not_measured_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of a server."""
    telemetry = telemetry_of()
    server = build_server()
    with monkeypatch.context() as changed:
        changed.delattr(server, "_lowlevel_server")
        measure_server(telemetry, server)
    async with Client(server, mode="legacy") as client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
    assert result.structured_content == {"result": 3}
    assert above_zero(telemetry, "mcp") == {}


class _Params(BaseModel):
    """No parameters."""


async def test_a_custom_request_of_the_server_is_a_label() -> None:
    """A method that the server has a handler of is counted under its own name."""
    telemetry = telemetry_of()
    server = lowlevel()

    async def handle(ctx: ServerRequestContext[Any, Any], params: _Params) -> dict[str, Any]:
        return {}

    server.add_request_handler("shop/open", _Params, handle)
    async with Client(measure_server(telemetry, server), mode="legacy") as client:
        await client.session.send_request(types.Request(method="shop/open", params=None), types.EmptyResult)
    assert counts(above_zero(telemetry), SERVER)["shop/open"] == 1


@pytest.mark.parametrize(
    ("measure", "error", "message"),
    [
        (lambda t: measure_client(t, object()), TypeError, r"takes a Client or a ClientSession"),  # type: ignore[type-var]
        (lambda t: measure_server(t, object()), TypeError, r"takes an MCPServer or a Server"),  # type: ignore[type-var]
        (lambda t: measure_server(t, lowlevel(), transport="udp"), ValueError, r"one of pipe, tcp, quic; it is 'udp'"),  # type: ignore[arg-type]
        (lambda t: measure_client(t, Client(lowlevel()), url="ftp://x"), ValueError, r"http:// or https://; it is 'ftp://x'"),
    ],
)
def test_what_cannot_be_measured_is_told_at_once(
    measure: Callable[[Telemetry], Awaitable[None]], error: type[Exception], message: str
) -> None:
    """A wrong argument raises one sentence with the value and what is allowed."""
    with pytest.raises(error, match=message):
        measure(telemetry_of())


def test_each_row_of_mcp_is_recorded_here() -> None:
    """The catalogue's rows of MCP are these five."""
    names = {row.name for row in catalogue_agents.ROWS if isinstance(row, Metric) and row.name.startswith("mcp.")}
    assert names == {
        "mcp.client.operation.duration",
        "mcp.server.operation.duration",
        "mcp.client.session.duration",
        "mcp.server.session.duration",
        "mcp.servers.up",
    }


def _tools(telemetry: Telemetry, family: str) -> dict[str, float]:
    found = counts(above_zero(telemetry), family)
    return {key: value for key, value in found.items() if key.startswith("tools/call")}
