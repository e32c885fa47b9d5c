"""An MCP client with a port for /metrics: looks up each line of its input with the server of ``mcp_server.py``.

``yes apples | python examples/mcp_client.py``, and ``curl localhost:9465/metrics`` meanwhile.
"""

import asyncio
import os
import sys
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from telemetry import Catalogue, Telemetry
from telemetry.agentos.catalogue_agents import MCP_CLIENT_OPERATION_DURATION as SENT
from telemetry.agentos.catalogue_agents import MCP_CLIENT_SESSION_DURATION as SESSIONS
from telemetry.agentos.catalogue_agents import MCP_SERVER_OPERATION_DURATION as RECEIVED
from telemetry.agentos.catalogue_agents import MCP_SERVERS_UP
from telemetry.agentos.mcp import ServersUp, measure_client
from telemetry.exposition import start_http_server

telemetry = Telemetry.from_environment(Catalogue([SENT, RECEIVED, SESSIONS, MCP_SERVERS_UP]), service_name="shop")
servers = ServersUp(telemetry)
SERVER = StdioServerParameters(
    command=sys.executable,
    args=[str(Path(__file__).with_name("mcp_server.py"))],
    env={name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    | {"PORT": os.environ.get("SERVER_PORT", "9464")},
)


async def main() -> None:
    """Asks until the input ends."""
    async with measure_client(telemetry, Client(SERVER)) as client:
        servers.set("stock", True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            result = await client.call_tool("stock", {"article": line.strip()})
            answer = "unknown" if result.is_error else (result.structured_content or {})["result"]
            sys.stdout.write(f"{line.strip()}: {answer}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    metrics = start_http_server(telemetry.reader, port=int(os.environ.get("PORT", "9465")))
    asyncio.run(main())
    metrics.close()
    telemetry.shutdown()
