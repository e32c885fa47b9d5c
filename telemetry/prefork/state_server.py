"""The Unix socket at which a worker hands out its state, and a request to several workers at once."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread

__all__ = ["StateServer", "request_states"]

_LENGTH = struct.Struct("<Q")
_MAX_BYTES = 1 << 32
_BACKLOG = 64
_PAUSE_SECONDS = 0.1
"""Pause after a client that could not be accepted: the listener stays readable meanwhile."""


class StateServer:
    """A thread that answers clients, one at a time, and calls ``tick()`` in between, from ``start`` on.

    Args:
        folder: Descriptor of the directory in which the socket is made.
        name: The worker's name.
        answer: Returns the state. Must not raise.
        tick: Called every ``every`` seconds. Must not raise.
        every: Seconds between two calls of ``tick``.
        timeout: Seconds after which the connection of a client that does not read its answer is closed.

    Raises:
        OSError: The socket cannot be made.
    """

    def __init__(
        self, folder: int, name: str, answer: Callable[[], bytes], tick: Callable[[], None], *, every: float, timeout: float
    ) -> None:
        self._answer = answer
        self._tick = tick
        self._every = every
        self._timeout = timeout
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.setblocking(False)
            self._listener.bind(_address(folder, name))
            self._listener.listen(_BACKLOG)
            self._stop_reader, self._stop_writer = os.pipe()
        except OSError:
            self._listener.close()
            raise
        self._thread = Thread(target=self._run, name="telemetry-workers", daemon=True)

    def start(self) -> None:
        """Starts the thread. A client that connects earlier waits for its answer."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes the socket."""
        with suppress(OSError):
            os.write(self._stop_writer, b"x")
        self._thread.join(self._timeout + 1)
        self.close_inherited()

    def close_inherited(self) -> None:
        """Closes the descriptors alone: a forked child has its parent's, but not the thread."""
        self._listener.close()
        for end in (self._stop_reader, self._stop_writer):
            with suppress(OSError):
                os.close(end)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stop_reader, select.POLLIN)
        pause = select.poll()
        pause.register(self._stop_reader, select.POLLIN)
        due = time.monotonic() + self._every
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)}
            if self._stop_reader in ready:
                return
            if ready and not self._serve_client() and pause.poll(_PAUSE_SECONDS * 1000):
                return
            if time.monotonic() >= due:
                due = time.monotonic() + self._every
                self._tick()

    def _serve_client(self) -> bool:
        """Returns False where no client can be accepted now, as without free descriptors: it stays in the backlog."""
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return True
        except OSError:
            return False
        with client, suppress(OSError):
            client.settimeout(self._timeout)
            data = self._answer()
            client.sendall(_LENGTH.pack(len(data)))
            client.sendall(data)
        return True


def request_states(folder: int, names: Iterable[str], timeout: Callable[[str], float]) -> Mapping[str, bytes]:
    """Asks all workers at the same time; returns the answers that came in time, by worker. Raises nothing.

    Args:
        folder: Descriptor of the run's directory.
        names: The workers.
        timeout: Seconds to wait for a worker, counted from the beginning for all of them.
    """
    sockets: dict[str, socket.socket] = {}
    start = time.monotonic()
    try:
        for name in names:
            with suppress(OSError):  # a full backlog, or no free descriptor: the worker counts as one that does not answer
                client = sockets[name] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                client.setblocking(False)
                client.connect(_address(folder, name))
        answers: dict[str, bytes] = {}
        for name, client in sockets.items():
            with suppress(OSError, ValueError, MemoryError):
                answers[name] = _read_answer(client, start + timeout(name))
        return answers
    finally:
        for client in sockets.values():
            client.close()


def _read_answer(client: socket.socket, deadline: float) -> bytes:
    (length,) = _LENGTH.unpack(_read_exactly(client, _LENGTH.size, deadline))
    if length > _MAX_BYTES:
        raise ValueError("no worker's answer is that long")
    return bytes(_read_exactly(client, length, deadline))


def _read_exactly(client: socket.socket, length: int, deadline: float) -> bytearray:
    """Raises ``OSError`` where fewer bytes come before the deadline."""
    data = bytearray(length)
    view = memoryview(data)
    received = 0
    while received < length:
        client.settimeout(max(0.001, deadline - time.monotonic()))
        count = client.recv_into(view[received:])
        if not count:
            raise ConnectionError("the worker closed the connection")
        received += count
    return data


def _address(folder: int, name: str) -> str:
    """The socket's path, by the folder's descriptor where /proc has it: a Unix socket's path has at most 107 bytes."""
    short = f"/proc/self/fd/{folder}"
    return f"{short if Path(short).exists() else os.fspath(_path_of(folder))}/{name}.sock"


def _path_of(folder: int) -> str:
    import fcntl

    return fcntl.fcntl(folder, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()  # type: ignore[attr-defined]  # macOS
