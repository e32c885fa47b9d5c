"""A server on Redis' protocol that replies as the test says, right or wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["Reply", "replying_redis"]

Reply = bytes | Callable[[tuple[bytes, ...]], bytes]
"""The bytes that answer each command, or a function of its words that returns them."""


@asynccontextmanager
async def replying_redis(reply: Reply) -> AsyncIterator[str]:
    """Yields the URL of a server that accepts the handshake of a connection, and gives this reply to all other commands."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while True:
                words = await _command(reader)
                if words[0].upper() in (b"AUTH", b"CLIENT", b"SELECT"):
                    writer.write(b"+OK\r\n")
                else:
                    writer.write(reply if isinstance(reply, bytes) else reply(words))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def _command(reader: asyncio.StreamReader) -> tuple[bytes, ...]:
    count = int((await reader.readuntil(b"\r\n"))[1:])
    words = []
    for _ in range(count):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(length + 2))[:-2])
    return tuple(words)
