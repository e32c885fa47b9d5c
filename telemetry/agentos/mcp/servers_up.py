"""Which MCP servers answer: ``mcp.servers.up``."""

from __future__ import annotations

from collections.abc import Mapping

from telemetry.agentos.catalogue_agents import MCP_SERVERS_UP
from telemetry.pipeline.telemetry import Telemetry

__all__ = ["ServersUp"]


class ServersUp:
    """Keeps for each MCP server whether it answers, and shows it at each collect.

    Args:
        telemetry: Where its catalogue lacks ``MCP_SERVERS_UP``, nothing is shown.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._levels: dict[str, int] = {}
        if telemetry.catalogue.has(MCP_SERVERS_UP):
            telemetry[MCP_SERVERS_UP].watch(self._read)

    def set(self, server: str, up: bool) -> None:
        """Sets whether the server of this name answers."""
        self._levels[server] = int(up)

    def remove(self, server: str) -> None:
        """Ends the series of a server that is not used any more."""
        self._levels.pop(server, None)

    def _read(self) -> Mapping[str, float]:
        return dict(self._levels)
