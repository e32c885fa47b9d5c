"""An MCP server with tools that do what their question says: ``python -m tests.helpers.tool_server stdio`` or ``... PORT``.

Further arguments only mark the process. With ``stubborn`` among them, the process ignores SIGTERM and the end of its input,
and has a child that does so too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

__all__ = ["build"]

_READS = ToolAnnotations(read_only_hint=True)


def build() -> MCPServer:
    """Returns the server."""
    server = MCPServer("tools", log_level="CRITICAL")

    @server.tool()
    def delete(question: str) -> str:
        """Changes something, and takes one text."""
        return f"deleted {question}"

    @server.tool(annotations=_READS)
    def between(question: str, limit: int) -> str:
        """Needs two arguments."""
        return question[:limit]

    @server.tool(annotations=_READS, structured_output=False)
    async def look_up(question: str) -> str:
        """Does what the question says."""
        word, _, rest = question.partition(" ")
        if word == "crash":
            os._exit(3)
        if word == "fail":
            raise ValueError("no luck")
        if word == "hang":
            await asyncio.Event().wait()
        if word == "huge":
            return "x" * int(rest)
        if word == "variables":
            return ",".join(sorted(name for name in os.environ if name.startswith(("AGENTOS", "OTEL", "TOOL"))))
        return f"{word} in process {os.getpid()}"

    return server


def main(where: str, *how: str) -> None:
    """Serves until the client leaves, or for ever."""
    if "stubborn" in how:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        forever = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", forever, *how], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        print(f"stubborn child {child.pid}", flush=True)  # a line that is no message, too
    if where == "stdio":
        build().run()
        if "stubborn" in how:
            threading.Event().wait()
    else:
        import uvicorn

        uvicorn.run(build().streamable_http_app(), port=int(where), log_level="critical")


if __name__ == "__main__":
    main(*sys.argv[1:])
