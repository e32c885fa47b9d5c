"""A TCP proxy that delays the server's answers: a Redis that is slow but works."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["SlowProxy", "slow_proxy"]


class SlowProxy:
    """A proxy in front of a loopback port.

    ``delay`` holds back each piece of an answer, in seconds; it may change at any time.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay = 0.0
        self._target = target

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Accepts connections until ``stop`` is set, then drops them all."""
        under_way: set[asyncio.Task[None]] = set()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            under_way.add(task)
            try:
                with suppress(OSError):
                    await self._join(reader, writer)
            finally:
                writer.close()
                under_way.discard(task)

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as group:
                answers = group.create_task(self._pass(back, writer, slowly=True))
                await self._pass(reader, forth, slowly=False)
                answers.cancel()
        finally:
            forth.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, slowly: bool) -> None:
        with suppress(OSError):  # either side ends the connection by closing it
            while data := await source.read(65536):
                if slowly:
                    await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()


@contextmanager
def slow_proxy(target: int) -> Iterator[SlowProxy]:
    """Runs a proxy in front of a loopback port in a thread of its own, at first without delay."""
    proxy, ready, stop = SlowProxy(target), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(proxy.serve(ready, stop)), name="slow proxy")
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
