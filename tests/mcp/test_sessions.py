"""Durations of sessions, from open to close."""

from __future__ import annotations

import sys
from pathlib import Path

import mcp_types as types
import pytest
from mcp import Client
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.server import Server
from mcp.shared.exceptions import MCPError

from stack.servers.process import free_port
from telemetry import Catalogue, Telemetry
from telemetry.agentos import catalogue_agents
from telemetry.agentos.mcp import measure_client, measure_server
from tests.helpers.clock import Clock
from tests.helpers.mcp_server import build_server, telemetry_of
from tests.helpers.mcp_story import Story, counts, served
from tests.helpers.samples import Samples, above_zero

CLIENT, SERVER = "mcp_client_session_duration_seconds", "mcp_server_session_duration_seconds"


def test_a_session_is_counted_at_both_ends_once_it_is_closed(story: Story) -> None:
    """One session without an error, with its version and transport; as of 2026-07-28 a server over HTTP has none."""
    http = story.transport == "http"
    labels = {"mcp_protocol_version": story.version, "network_transport": "tcp" if http else "pipe"}
    labels |= {"network_protocol_name": "http"} if http else {}
    (found,) = _sessions(story.client, CLIENT)
    assert {key: value for key, value in found.items() if not key.startswith("server_")} == labels
    assert _sessions(story.server, SERVER) == ([] if http and not story.is_legacy else [labels])


async def test_a_session_lasts_from_open_to_close() -> None:
    """A session of 7 seconds is 7 seconds at both ends."""
    clock = Clock()
    telemetry = Telemetry(Catalogue(catalogue_agents.ROWS), workers=False, strict=True, clock=clock)
    server = measure_server(telemetry, build_server(), transport="")
    async with measure_client(telemetry, Client(server, mode="legacy")) as client:
        clock.now += 7
        await client.call_tool("add", {"a": 1, "b": 2})
    samples = above_zero(telemetry)
    for family in (CLIENT, SERVER):
        assert samples[f"{family}_sum", _key(mcp_protocol_version="2025-11-25")] == 7


async def test_a_server_that_ends_ends_the_session_with_an_error(tmp_path: Path) -> None:
    """A server process that dies in a call: the call and the session are ``connection_closed``, and the call has no code."""
    telemetry = telemetry_of()
    with served("stdio", tmp_path) as peer:
        async with measure_client(telemetry, Client(peer.server, mode="legacy")) as client:
            with pytest.raises(MCPError, match="Connection closed"):
                await client.call_tool("leave")
    assert _sessions(above_zero(telemetry), CLIENT) == [
        {"error_type": "connection_closed", "mcp_protocol_version": "2025-11-25", "network_transport": "pipe"}
    ]
    (operation,) = _sessions(above_zero(telemetry), "mcp_client_operation_duration_seconds", gen_ai_tool_name="leave")
    assert operation["error_type"] == "connection_closed"
    assert "rpc_response_status_code" not in operation


async def test_a_server_over_http_that_ends_is_no_cancelled_call(tmp_path: Path) -> None:
    """The SDK's transport cancels the call when it breaks; that is ``connection_closed`` as well."""
    telemetry = telemetry_of()
    with served("http", tmp_path) as peer, pytest.raises(BaseExceptionGroup):
        async with measure_client(telemetry, Client(peer.server)) as client:
            await client.call_tool("leave")
    for family, labels in ((CLIENT, {}), ("mcp_client_operation_duration_seconds", {"gen_ai_tool_name": "leave"})):
        (found,) = _sessions(above_zero(telemetry), family, **labels)
        assert found["error_type"] == "connection_closed"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_session_that_is_not_opened_has_the_error_of_its_handshake(mode: str) -> None:
    """No server behind the port: the first request and the session are ``connection_closed``, without a version."""
    telemetry = telemetry_of()
    port = free_port()
    with pytest.raises(BaseExceptionGroup):
        async with measure_client(telemetry, Client(f"http://127.0.0.1:{port}/mcp", mode=mode)):
            pass
    (session,) = _sessions(above_zero(telemetry), CLIENT)
    assert session == {
        "error_type": "connection_closed",
        "network_transport": "tcp",
        "network_protocol_name": "http",
        "server_address": "127.0.0.1",
        "server_port": str(port),
    }


async def test_a_session_that_is_opened_the_older_way_has_no_error(tmp_path: Path) -> None:
    """A server that does not know ``server/discover``: that request fails, ``initialize`` and the session do not."""
    telemetry = telemetry_of()
    with served("http", tmp_path, "old") as peer:
        async with measure_client(telemetry, Client(peer.server)) as client:
            assert client.protocol_version == "2025-11-25"
    operations = counts(above_zero(telemetry), "mcp_client_operation_duration_seconds")
    assert operations == {"server/discover error=-32601 code=-32601": 1, "initialize": 1, "notifications/initialized": 1}
    (session,) = _sessions(above_zero(telemetry), CLIENT)
    assert session["mcp_protocol_version"] == "2025-11-25"
    assert "error_type" not in session


async def test_a_process_that_is_no_server_fails_the_handshake() -> None:
    """A process that ends at once: the session ends with ``connection_closed``."""
    telemetry = telemetry_of()
    nothing = StdioServerParameters(command=sys.executable, args=["-c", "pass"])
    with pytest.raises(BaseExceptionGroup):
        async with measure_client(telemetry, Client(nothing, mode="legacy")):
            pass
    assert _sessions(above_zero(telemetry), CLIENT) == [{"error_type": "connection_closed", "network_transport": "pipe"}]


async def test_a_session_of_ones_own_transport_is_measured(tmp_path: Path) -> None:
    """A ``ClientSession`` over streams that the caller has opened, with the transport that the caller names."""
    telemetry = telemetry_of()
    with served("stdio", tmp_path) as peer:
        assert isinstance(peer.server, StdioServerParameters)
        async with stdio_client(peer.server) as (read_stream, write_stream):
            session = measure_client(telemetry, ClientSession(read_stream, write_stream), transport="pipe")
            async with session:
                await session.initialize()
    assert _sessions(above_zero(telemetry), CLIENT) == [{"mcp_protocol_version": "2025-11-25", "network_transport": "pipe"}]


async def test_an_exception_of_the_caller_is_no_error_of_the_session() -> None:
    """A block that raises closes its session in order."""
    telemetry = telemetry_of()
    with pytest.raises(BaseExceptionGroup):
        async with measure_client(telemetry, Client(build_server(), mode="legacy")):
            raise ValueError("mine")
    assert _sessions(above_zero(telemetry), CLIENT) == [{"mcp_protocol_version": "2025-11-25"}]


async def test_a_server_that_raises_ends_its_session_with_the_exceptions_class() -> None:
    """A handler's exception that ends ``run``: ``error.type`` is its class, without the task group around it."""

    async def call(ctx: object, params: object) -> types.CallToolResult:
        raise RuntimeError("bug")

    telemetry = telemetry_of()
    server = measure_server(telemetry, Server("bug", on_call_tool=call), transport="")
    with pytest.raises(BaseExceptionGroup):
        async with Client(server, mode="legacy", raise_exceptions=True) as client:
            await client.session.call_tool("bug")
    assert _sessions(above_zero(telemetry), SERVER) == [{"error_type": "RuntimeError", "mcp_protocol_version": "2025-11-25"}]


def _key(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _sessions(samples: Samples, family: str, **wanted: str) -> list[dict[str, str]]:
    """Returns the labels of each series of a histogram, once for each measurement."""
    found = []
    for (name, pairs), value in samples.items():
        labels = {key: text for key, text in pairs if text}
        if name == f"{family}_count" and wanted.items() <= labels.items():
            found += [labels] * int(value)
    return found
