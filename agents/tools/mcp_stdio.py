"""MCP over the standard streams of a process: bounded lines, and an end that leaves no process behind.

The SDK's own ``stdio_client`` reads a line of any length, and does not say when the process ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from agents.settings import McpServerSettings

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

__all__ = ["stdio_streams"]

_GRACE_SECONDS = 1.0
"""Seconds a process has to end once its input is closed, and again once it is asked to by a signal."""
_POLL_SECONDS = 0.01


@asynccontextmanager
async def stdio_streams(settings: McpServerSettings, lost: Callable[[str], None]) -> AsyncIterator[TransportStreams]:
    """Starts the process in a group of its own, and ends the whole group on exit, within about three seconds.

    The process gets the variables that every process needs and those of ``env``, none of the service's. What it writes to its
    standard error is dropped: it may quote secrets.

    Args:
        settings: The command and its limits.
        lost: Called with the reason when the process has ended or broken the protocol.

    Raises:
        OSError: The process cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *settings.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=get_default_environment() | settings.env,
        limit=settings.response_limit,
        start_new_session=True,
    )
    received, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, sent = anyio.create_memory_object_stream[SessionMessage](0)
    tasks = [
        asyncio.create_task(_until_lost(_read(process, received), received, lost)),
        asyncio.create_task(_until_lost(_write(process, sent), received, lost)),
    ]
    try:
        yield incoming, outgoing
    finally:
        with anyio.CancelScope(shield=True):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream in (received, incoming, outgoing, sent):
                stream.close()
            await _end(process)


async def _until_lost(
    work: Awaitable[str], received: MemoryObjectSendStream[SessionMessage | Exception], lost: Callable[[str], None]
) -> None:
    """Ends the session when either direction has ended: requests under way fail at once."""
    try:
        lost(await work)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        lost("it has closed its streams")
    received.close()


async def _read(process: asyncio.subprocess.Process, received: MemoryObjectSendStream[SessionMessage | Exception]) -> str:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # what StreamReader raises over its limit
            return "it sends a message that is larger than the settings allow"
        if not line:
            return "its process has ended"
        if line.strip():
            await received.send(_message(line))
        else:
            await asyncio.sleep(0)  # a line that has come already is read without a wait


def _message(line: bytes) -> SessionMessage | Exception:
    """The message of a line; for a line that is none, an error without the line's text."""
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return ValueError("a line that is no JSON-RPC message")


async def _write(process: asyncio.subprocess.Process, sent: MemoryObjectReceiveStream[SessionMessage]) -> str:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    async for one in sent:
        process.stdin.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        await process.stdin.drain()
    return "its session has ended"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Closes the input, then asks the group to end, then ends it. The process id is not reused before it is waited for."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with suppress(OSError):
        process.stdin.close()
    if not await _has_ended(process):
        _signal(process, signal.SIGTERM)
        if not await _has_ended(process):
            _signal(process, signal.SIGKILL)
            await _has_ended(process)
    _signal(process, signal.SIGKILL)  # children that outlive it
    if (transport := getattr(process, "_transport", None)) is not None:
        transport.close()  # a descendant that left the group may hold the pipe open


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _has_ended(process: asyncio.subprocess.Process) -> bool:
    """Whether the process ends in time. ``wait()`` also waits for the pipes, which a child may hold open."""
    with anyio.move_on_after(_GRACE_SECONDS):
        while process.returncode is None:  # noqa: ASYNC110 - nothing tells of it but ``wait()``
            await anyio.sleep(_POLL_SECONDS)
    return process.returncode is not None
