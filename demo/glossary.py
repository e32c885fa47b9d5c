"""An MCP server of the demo, over stdio: a glossary that knows most of the words it is asked for."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

__all__ = ["glossary"]

_WORDS = {
    "river": "water that flows to the sea",
    "harbour": "a place where ships are safe",
    "lantern": "a light with a case around it",
    "bridge": "a way over water",
}


def glossary() -> MCPServer:
    """Returns the server."""
    server = MCPServer("glossary", log_level="CRITICAL")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
    def look_up(question: str) -> str:
        """Explains the first word of the question that the glossary has; fails where it has none."""
        for word, meaning in _WORDS.items():
            if word in question:
                return f"{word}: {meaning}"
        raise LookupError("no word of the question is in the glossary")

    return server


if __name__ == "__main__":
    glossary().run()
