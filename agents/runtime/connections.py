"""Open connections of a server: how many, and how long one may wait for a request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

try:
    import resource
except ImportError:  # not on POSIX
    resource = None  # type: ignore[assignment]

__all__ = ["Connections", "RepeatedLines", "limit_connections"]

_MANY = 2**20
"""Descriptors where there is no limit."""
_TICK_SECONDS = 0.25
_REPEATED = ("socket.accept() out of system resource", "Invalid HTTP request", "Unsupported upgrade", "No supported WebSocket")
"""Beginnings of lines that a client can have logged as often as it likes."""
_LOGGERS = ("asyncio", "uvicorn.error")


class Connections(set[Any]):
    """uvicorn's set of open connections, which closes those that keep a descriptor without a request.

    uvicorn's own time limit begins after a response: a connection that sends nothing, half a head or half a body is open for
    ever. Beyond ``most`` connections the one that has waited longest for its request is closed, so that descriptors are left
    for scrapes, other workers' states and calls to agents and providers.

    Args:
        server: The server, whose shutdown closes requests that are not complete after half its time.
        seconds: What a request's head has to arrive, and its body likewise.
        most: Connections at once.
        clock: Seconds on a monotonic clock.
    """

    def __init__(self, server: uvicorn.Server, seconds: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._server = server
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._since: dict[Any, tuple[object, float]] = {}
        self._exit_since: float | None = None

    def add(self, connection: Any) -> None:
        """Adds a connection, and closes one if they are too many: the longest waiting, or this one if all are in use."""
        super().add(connection)
        self._since[connection] = (None, self._clock())
        if len(self._since) > self._most:
            waiting = [each for each in self._since if each is not connection and _awaited(each)[0] == "request"]
            self._close(min(waiting, key=lambda each: self._since[each][1], default=connection))

    def discard(self, connection: Any) -> None:
        """Forgets a connection that is closed."""
        super().discard(connection)
        self._since.pop(connection, None)

    def check(self) -> None:
        """Closes the connections that have waited too long for a request."""
        now = self._clock()
        limits = {"request": self._seconds, "body": self._seconds}
        if self._server.should_exit:
            self._exit_since = now if self._exit_since is None else self._exit_since
            limits["body"] = min(self._seconds, (self._server.config.timeout_graceful_shutdown or 0) / 2)
        for connection, (awaited, since) in list(self._since.items()):
            awaits = _awaited(connection)
            if awaited is not None and awaits != awaited:
                since = now
            self._since[connection] = (awaits, since)
            limit = limits.get(awaits[0])
            if limit is not None and now - max(since, self._exit_since or since) >= limit:
                self._close(connection)

    def _close(self, connection: Any) -> None:
        self._since.pop(connection, None)
        connection.transport.close()


def _awaited(connection: Any) -> tuple[str, object]:
    """What a connection waits for, ``request``, ``body`` or ``response``, and of which request."""
    cycle = getattr(connection, "cycle", None)
    if cycle is None or cycle.response_complete:
        return "request", cycle
    return "body" if cycle.more_body else "response", cycle


def limit_connections(server: uvicorn.Server, seconds: float, most: int = 0) -> None:
    """Limits the connections of a server that does not listen yet, and the log lines that its clients cause.

    asyncio accepts as many connections in one go as the backlog has places, and without descriptors logs a failure for each of
    them. So the backlog is at most what the limit leaves.

    Args:
        server: The server, before it listens, on the running event loop.
        seconds: What a request's head has to arrive, and its body likewise.
        most: Connections at once; 0: three quarters of the descriptors that are left.
    """
    left = _descriptors_left()
    most = most or max(4, left * 3 // 4)
    server.config.backlog = max(1, min(server.config.backlog, (left - most) // 2))
    connections = Connections(server, seconds, most)
    server.server_state.connections = connections
    loop = asyncio.get_running_loop()

    def tick() -> None:
        connections.check()
        loop.call_later(min(_TICK_SECONDS, seconds / 4), tick)

    tick()
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, RepeatedLines) for each in logger.filters):
            logger.addFilter(RepeatedLines())


def _descriptors_left() -> int:
    """How many descriptors this process may still open."""
    soft = _MANY
    if resource is not None and (limit := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) != resource.RLIM_INFINITY:
        soft = limit
    try:
        used = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        used = 32
    return max(8, soft - used)


class RepeatedLines(logging.Filter):
    """Lets a line that clients can cause through once in ``seconds``, with how often it came, and without a stack trace."""

    def __init__(self, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        text = str(record.msg)
        kind = next((each for each in _REPEATED if text.startswith(each)), None)
        if kind is None:
            return True
        last, left_out = self._seen.get(kind, (float("-inf"), 0))
        if self._clock() - last < self._seconds:
            self._seen[kind] = (last, left_out + 1)
            return False
        self._seen[kind] = (self._clock(), 0)
        times = f" ({left_out} more since the last such line)" if left_out else ""
        record.msg, record.args, record.exc_info = f"{kind}{times}", None, None
        return True
