"""An MCP client as a process of its own: calls ``add`` of a server process, and prints its spans as JSON.

``python -m tests.helpers.mcp_client FOLDER [measured] [plain] [traced]``: a measured and a plain client, one after the other,
in a process that has a global tracer provider or none.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from mcp import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from telemetry import Catalogue, Telemetry
from telemetry.agentos import catalogue_agents
from telemetry.agentos.mcp import measure_client
from tests.helpers.mcp_server import described
from tests.helpers.mcp_story import served
from tests.helpers.span_log import SpanLog


async def main(folder: Path, how: list[str]) -> None:
    """Runs the clients, and prints the spans."""
    log = SpanLog()
    if "traced" in how:
        provider = TracerProvider()
        provider.add_span_processor(log)
        trace.set_tracer_provider(provider)
    telemetry = Telemetry(Catalogue(catalogue_agents.ROWS), workers=False)
    for one in ("measured", "plain"):
        if one not in how:
            continue
        with served("stdio", folder) as peer:
            client = Client(peer.server, mode="legacy")
            async with measure_client(telemetry, client) if one == "measured" else client:
                await client.call_tool("add", {"a": 1, "b": 2})
    print(json.dumps([described(span) for span in log.ended]))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
