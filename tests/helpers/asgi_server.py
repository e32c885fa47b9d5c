"""Serves an ASGI application with uvicorn, in its own thread on an ephemeral port."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import uvicorn

Lifespan = Literal["on", "off"]

TIMEOUT = 20.0
"""Seconds after which waiting for an event fails the test."""


class ThreadedServer(uvicorn.Server):
    """A server that sets ``listening`` once it listens, and installs no signal handlers."""

    def __init__(self, app: Any, *, lifespan: Lifespan) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, access_log=False, lifespan=lifespan, ws="none"))
        self.listening = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serving(app: Any, *, lifespan: Lifespan = "on") -> Iterator[str]:
    """Serves the application; yields its URL. A lifespan that fails to start fails the test."""
    with serving_on_loop(app, lifespan=lifespan) as (url, _):
        yield url


@contextmanager
def serving_on_loop(app: Any, *, lifespan: Lifespan = "on") -> Iterator[tuple[str, asyncio.AbstractEventLoop]]:
    """As ``serving``; yields the URL and the server's event loop."""
    server = ThreadedServer(app, lifespan=lifespan)
    # With an explicit protocol, asyncio sets TCP_NODELAY, as it does for the sockets that it opens itself.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert server.listening.wait(TIMEOUT)
            assert server.started
            assert server.loop is not None
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", server.loop
        finally:
            server.should_exit = True
            thread.join(TIMEOUT)
            assert not thread.is_alive()


@contextmanager
def serving_on_file(app: Any, path: Path) -> Iterator[None]:
    """Serves the application on a Unix socket, on which a client has no address."""
    server = ThreadedServer(app, lifespan="on")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert server.listening.wait(TIMEOUT)
            yield
        finally:
            server.should_exit = True
            thread.join(TIMEOUT)
            assert not thread.is_alive()


def closed_port() -> int:
    """A port of 127.0.0.1 that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def ask(url: str, accept: str, agent: str = "peer", operation: str = "query") -> socket.socket:
    """Sends a run over a new socket and returns the socket, so that the test can close it at any time."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), TIMEOUT)
    body = json.dumps({"input": "hi", "operation": operation}).encode()
    head = (
        f"POST /agents/{agent}/runs HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection
