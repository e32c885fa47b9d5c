"""The listener for /metrics alone, if the settings name its address.

One of several workers holds the address; when that worker ends, another one takes it over.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from agents.runtime.connections import limit_connections
from agents.settings import SettingsError
from agents.settings.access import Listen
from telemetry._base.file_lock import FileLock, lock_file
from telemetry._base.printable import printable, shown

__all__ = ["listening_for_scrapes"]

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.25
_DRAIN_SECONDS = 1
_RECEIVE_SECONDS = 10.0
_MAX_CONNECTIONS = 16
_SOCKET_MODE = 0o660


@asynccontextmanager
async def listening_for_scrapes(app: ASGIApp, address: str, *, several: bool = True) -> AsyncIterator[None]:
    """Serves ``app`` at the address.

    Args:
        app: The application of /metrics.
        address: Where to listen.
        several: Whether the process is one of several workers. While another one holds the address, this one tries again until
            it is free.

    Raises:
        SettingsError: The address cannot be bound at all, or is in use and the process is alone.
    """
    where = Listen.of(address)
    place = _File(Path(where.path)) if where.path else _Port(where)
    try:
        sock = place.take()
        if sock is None and not several:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    except (OSError, ValueError) as error:  # ValueError: a host name that cannot be encoded
        reason = getattr(error, "strerror", None) or printable(error)
        raise SettingsError(f"AGENTOS_METRICS_LISTEN is {shown(address)}: {reason}.") from None
    if sock is None:
        _log.info("%s is in use, by another worker if there are several: this one waits for it", address)
    stop = asyncio.Event()
    serving = asyncio.create_task(_serve(app, place, sock, stop))
    try:
        yield
    finally:
        stop.set()
        await serving


async def _serve(app: ASGIApp, place: _Port | _File, sock: socket.socket | None, stop: asyncio.Event) -> None:
    while sock is None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _RETRY_SECONDS)
        if stop.is_set():
            return
        with suppress(OSError):
            sock = place.take()
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _InnerServer(config)
    limit_connections(server, _RECEIVE_SECONDS, _MAX_CONNECTIONS)
    running = asyncio.create_task(server.serve(sockets=[sock]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    server.should_exit = True
    await running
    place.release()


class _InnerServer(uvicorn.Server):
    """A server inside another server's process: leaves the signals to that one, and sets an event when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class _Port:
    """A TCP port."""

    def __init__(self, where: Listen) -> None:
        self._where = where

    def take(self) -> socket.socket | None:
        """Returns a listening socket, ``None`` while the port is in use. Raises ``OSError`` for other errors."""
        family, _, _, _, address = socket.getaddrinfo(self._where.host, self._where.port, type=socket.SOCK_STREAM)[0]
        # asyncio sets TCP_NODELAY only on sockets that name their protocol.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen()
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        return sock

    def release(self) -> None:
        """Nothing is left to remove."""


class _File:
    """A Unix socket. It belongs to the process that holds the lock beside it; any end of the process releases the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: FileLock | None = None
        self._made: tuple[int, int] | None = None

    def take(self) -> socket.socket | None:
        """Returns a listening socket, ``None`` while another process holds it. Raises ``OSError`` for other errors."""
        if not hasattr(socket, "AF_UNIX"):
            raise OSError(errno.ENOTSUP, "this platform has no Unix sockets")
        lock = lock_file(self._path.with_name(f"{self._path.name}.lock"))
        if lock is None:
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._remove_stale_socket()
            sock.bind(str(self._path))
            self._made = _identity(self._path)
            self._path.chmod(_SOCKET_MODE)  # before it listens, so that no client connects earlier
            sock.listen()
        except OSError:
            sock.close()
            lock.release()
            raise
        self._lock = lock
        return sock

    def _remove_stale_socket(self) -> None:
        """Removes a socket of this user on which no process listens. Raises ``OSError`` for anything else at the path."""
        with suppress(FileNotFoundError):
            found = self._path.lstat()
            if not stat.S_ISSOCK(found.st_mode):
                raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
            if found.st_uid != os.getuid():
                raise FileExistsError(errno.EEXIST, "there is a socket of another user")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.setblocking(False)  # a full backlog is answered at once, too: its listener lives
                if client.connect_ex(str(self._path)) != errno.ECONNREFUSED:
                    raise OSError(errno.EADDRINUSE, "another program listens on the socket there")
            self._path.unlink()

    def release(self) -> None:
        """Removes the socket, unless another one has its path meanwhile, and releases the lock."""
        with suppress(FileNotFoundError):
            if _identity(self._path) == self._made:
                self._path.unlink()
        if self._lock is not None:
            self._lock.release()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
