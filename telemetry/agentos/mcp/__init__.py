"""MCP sessions, requests and notifications by OpenTelemetry's conventions, measured with the official ``mcp`` SDK 2.3 or newer.

``measure_client`` and ``measure_server`` need the extra ``mcp``, and load on first use; ``ServersUp`` needs nothing.
https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/mcp.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry._base.lazy import names_on_first_use

if TYPE_CHECKING:
    from telemetry.agentos.mcp.client import measure_client as measure_client
    from telemetry.agentos.mcp.server import measure_server as measure_server
    from telemetry.agentos.mcp.servers_up import ServersUp as ServersUp

_MODULES = {
    "ServersUp": "telemetry.agentos.mcp.servers_up",
    "measure_client": "telemetry.agentos.mcp.client",
    "measure_server": "telemetry.agentos.mcp.server",
}

__all__ = [*_MODULES]

__getattr__, __dir__ = names_on_first_use(globals(), _MODULES)
