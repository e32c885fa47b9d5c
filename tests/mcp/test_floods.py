"""Floods of messages that nothing asks for: each is measured, a bounded number of them has spans."""

from __future__ import annotations

import asyncio

from mcp import Client
from mcp.server.mcpserver import Context

from telemetry import Catalogue, Telemetry
from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.mcp import measure_client, measure_server
from telemetry.agentos.mcp.operation import MCPRecorder, Message, Operation, Transport
from tests.helpers.clock import Clock
from tests.helpers.mcp_server import build_server
from tests.helpers.mcp_story import counts
from tests.helpers.samples import above_zero
from tests.helpers.span_log import SpanLog

NOTIFIED = "notifications/progress"


async def test_a_flood_of_notifications_has_a_bounded_number_of_spans() -> None:
    """500 notifications of one tool call: 500 durations at each end, 100 spans at each end, and all spans of the requests."""
    log = SpanLog()
    telemetry = Telemetry(Catalogue(rows.ROWS), span_processors=[log], workers=False, strict=True, clock=Clock())
    server, all_came = build_server(), asyncio.Event()

    @server.tool()
    async def flood(ctx: Context) -> str:
        for number in range(500):
            await ctx.report_progress(number)
        return "done"

    async def came(progress: float, total: float | None, message: str | None) -> None:
        if progress == 499:
            all_came.set()

    async with measure_client(telemetry, Client(measure_server(telemetry, server), mode="legacy")) as client:
        await client.session.call_tool("flood", {}, progress_callback=came)
        await all_came.wait()
        await client.session.call_tool("add", {"a": 1, "b": 2})
    for end in ("client", "server"):
        family = f"mcp_{end}_operation_duration_seconds"
        assert counts(above_zero(telemetry, family), family)[NOTIFIED] == 500
    notified = [span for span in log.ended if span.name.startswith("notifications/")]
    assert {kind: len([span for span in notified if span.kind.name == kind]) for kind in ("CLIENT", "SERVER")} == {
        "CLIENT": 100,
        "SERVER": 100,
    }
    assert len(log.named("tools/call flood")) == len(log.named("tools/call add")) == 2


def test_room_for_spans_of_notifications_comes_back() -> None:
    """100 spans at once, and 10 more for each second that passes; requests are not counted."""
    log, clock = SpanLog(), Clock()
    telemetry = Telemetry(Catalogue(rows.ROWS), span_processors=[log], workers=False, strict=True, clock=clock)
    recorder = MCPRecorder(telemetry)
    found = []
    for seconds in (0, 0, 1, 0.0625, 0.0625, 1_000):
        clock.now += seconds
        log.ended.clear()
        for _ in range(150):
            _end(recorder, NOTIFIED, is_limited=True)
        found.append(len(log.ended))
        _end(recorder, "ping", is_limited=False)
        assert len(log.named("ping")) == 1
    assert found == [100, 0, 10, 0, 1, 100]


def _end(recorder: MCPRecorder, method: str, *, is_limited: bool) -> None:
    metric = rows.MCP_SERVER_OPERATION_DURATION
    with Operation(recorder, metric, Message.of(method, {}), Transport("pipe"), "", is_limited=is_limited):
        pass
