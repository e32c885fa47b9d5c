"""MCP sessions, requests and notifications by OpenTelemetry's conventions, measured with the official ``mcp`` SDK 2.3 or newer.

``measure_client`` and ``measure_server`` need the extra ``mcp``, and load on first use; ``ServersUp`` needs nothing.
https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/mcp.md
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.agentos.mcp.client import measure_client as measure_client
    from telemetry.agentos.mcp.server import measure_server as measure_server
    from telemetry.agentos.mcp.servers_up import ServersUp as ServersUp

__all__ = ["ServersUp", "measure_client", "measure_server"]

_MODULES = {"ServersUp": "servers_up", "measure_client": "client", "measure_server": "server"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return found
