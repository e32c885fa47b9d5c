"""A story of MCP: a measured client and a measured server process, what the client did, and what both have recorded of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import mcp_types as types
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError

from stack.servers.process import free_port, until
from telemetry.agentos.mcp import measure_client
from tests.helpers.mcp_server import described, telemetry_of
from tests.helpers.samples import Samples, read, samples_of
from tests.helpers.span_log import SpanLog

__all__ = ["ADDS", "WAYS", "Served", "Story", "counts", "served", "story_of"]

ROOT = Path(__file__).parents[2]
WAYS = ("stdio-legacy", "stdio-auto", "http-legacy", "http-auto")
"""Transport, and how the client opens the session: by ``initialize``, or by ``server/discover`` as of 2026-07-28."""
ADDS = 100
"""Calls of ``add`` at the same time."""


@dataclass
class Served:
    """A server process: over HTTP it runs already, over stdio the client starts it."""

    server: str | StdioServerParameters
    folder: Path

    def samples(self) -> Samples:
        """Returns the server's samples, once it has ended."""
        return samples_of((self.folder / "metrics").read_text())

    def spans(self) -> list[dict[str, Any]]:
        """Returns the server's ended spans."""
        return [json.loads(line) for line in (self.folder / "spans").read_text().splitlines()]


@contextmanager
def served(transport: str, folder: Path, *how: str) -> Iterator[Served]:
    """Yields a server process of ``tests.helpers.mcp_server``; it has ended after the block."""
    command = ["-m", "tests.helpers.mcp_server", str(folder)]
    environment = {"PYTHONPATH": str(ROOT)}
    if transport == "stdio":
        parameters = StdioServerParameters(command=sys.executable, args=[*command, "stdio", *how], env=environment, cwd=ROOT)
        yield Served(parameters, folder)
        return
    port = free_port()
    with subprocess.Popen(
        [sys.executable, *command, str(port), *how], env=os.environ | environment, cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        url = f"http://127.0.0.1:{port}/mcp"
        until("the MCP server's port", lambda: _answers(url))
        try:
            yield Served(url, folder)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.HTTPError:
        return False
    return True


@dataclass
class Story:
    """What both sides have recorded."""

    transport: str
    is_legacy: bool
    version: str = ""
    client: Samples = field(default_factory=dict)
    server: Samples = field(default_factory=dict)
    client_spans: list[dict[str, Any]] = field(default_factory=list)
    server_spans: list[dict[str, Any]] = field(default_factory=list)


def story_of(way: str, folder: Path) -> Story:
    """Lets a client use each tool of the server once, and ``add`` 100 times at the same time."""
    transport, _, mode = way.partition("-")
    story, log = Story(transport, mode == "legacy"), SpanLog()
    telemetry = telemetry_of(log)
    with served(transport, folder) as peer:
        client = Client(peer.server, mode=mode, elicitation_callback=_elicit if story.is_legacy else None)
        story.version = asyncio.run(_act(measure_client(telemetry, client), story.is_legacy))
    story.client, story.server = read(telemetry), peer.samples()
    story.client_spans, story.server_spans = [described(span) for span in log.ended], peer.spans()
    telemetry.shutdown()
    return story


async def _elicit(context: object, params: object) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"city": "Oslo"})


async def _act(measured: Client, is_legacy: bool) -> str:
    async with measured as client:
        await client.list_tools()
        for name in ("fail", "missing"):
            assert (await client.call_tool(name)).is_error
        for code in (-32602, -32050):
            assert await _code(client, "refuse", code=code) == code
        assert await _code(client, "wait", seconds=1.0) == types.REQUEST_TIMEOUT
        seen: asyncio.Queue[float] = asyncio.Queue()

        async def note(progress: float, total: float | None, message: str | None) -> None:
            seen.put_nowait(progress)

        call = asyncio.ensure_future(client.call_tool("wait", progress_callback=note))
        assert await seen.get() == 0
        call.cancel()
        assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
        await client.call_tool("note", progress_callback=note)
        assert [await seen.get(), await seen.get()] == [1, 2]
        if is_legacy:
            await client.call_tool("ask")
        await client.get_prompt("greet", {"name": "Ann"})
        await client.read_resource("text://one")
        await asyncio.gather(*(client.call_tool("add", {"a": n, "b": 1}) for n in range(ADDS)))
        return client.protocol_version


async def _code(client: Client, tool: str, seconds: float | None = None, **arguments: int) -> int:
    try:
        await client.call_tool(tool, dict(arguments), read_timeout_seconds=seconds)
    except MCPError as error:
        return error.error.code
    return 0


def counts(samples: Samples, family: str) -> dict[str, float]:
    """Returns how many operations a histogram has, by ``method [tool or prompt] [error=...] [code=...]``."""
    found: dict[str, float] = {}
    for (name, pairs), value in samples.items():
        if name != f"{family}_count" or not value:
            continue
        labels = {key: text for key, text in pairs if text}
        words = [labels.get(key, "") for key in ("mcp_method_name", "gen_ai_tool_name", "gen_ai_prompt_name")]
        words += [f"{short}={labels[key]}" for short, key in _SHORT.items() if key in labels]
        key = " ".join(word for word in words if word)
        found[key] = found.get(key, 0) + value
    return found


_SHORT = {"error": "error_type", "code": "rpc_response_status_code"}
