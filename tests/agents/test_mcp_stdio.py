"""What a server's process writes to its standard output."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import anyio

from agents.tools.mcp_stdio import _read


async def test_blank_lines_without_end_leave_others_their_turns():
    """Each of 1,000 blank lines that have come at once is a turn of the event loop."""
    process = SimpleNamespace(stdout=asyncio.StreamReader())
    process.stdout.feed_data(b"\n" * 1000)
    process.stdout.feed_eof()
    received, incoming = anyio.create_memory_object_stream(0)
    reading = asyncio.ensure_future(_read(process, received))
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert (turns >= 1000, reading.result()) == (True, "its process has ended")
    received.close()
    incoming.close()
