"""An MCP server over stdio, with a port for /metrics: one tool that looks up the stock of a shop.

``python examples/mcp_server.py`` is started by an MCP client, such as the example ``mcp_client.py``.
"""

import os

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from telemetry import Catalogue, Telemetry
from telemetry.agentos.catalogue_agents import MCP_CLIENT_OPERATION_DURATION as SENT
from telemetry.agentos.catalogue_agents import MCP_SERVER_OPERATION_DURATION as RECEIVED
from telemetry.agentos.catalogue_agents import MCP_SERVER_SESSION_DURATION as SESSIONS
from telemetry.agentos.mcp import measure_server
from telemetry.exposition import start_http_server

telemetry = Telemetry.from_environment(Catalogue([RECEIVED, SENT, SESSIONS]), service_name="stock")
server = measure_server(telemetry, MCPServer("stock"))
STOCK = {"apples": 3, "pears": 0}


@server.tool()
def stock(article: str) -> int:
    """Returns how many pieces of an article are left."""
    if article not in STOCK:
        raise ToolError(f"there is no article {article}")  # answered with isError; another exception is logged as a bug
    return STOCK[article]


if __name__ == "__main__":
    metrics = start_http_server(telemetry.reader, port=int(os.environ.get("PORT", "9464")))
    server.run()  # until the client closes its end
    metrics.close()
    telemetry.shutdown()
