"""The Unix socket at which a worker hands out its state, and the way to ask several of them at once."""

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
_MOST = 1 << 32
_BACKLOG = 64


class StateServer:
    """A thread that answers who rings with ``answer()``, and calls ``tick()`` every ``every`` seconds in between.

    Neither may raise. Whoever rings and does not read is hung up on after ``timeout`` seconds.
    """

    def __init__(
        self, folder: int, name: str, answer: Callable[[], bytes], tick: Callable[[], None], *, every: float, timeout: float
    ) -> None:
        self._answer = answer
        self._tick = tick
        self._every = every
        self._timeout = timeout
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(_address(folder, name))
        self._listener.listen(_BACKLOG)
        self._woken, self._wake = os.pipe()
        self._thread = Thread(target=self._run, name="telemetry-workers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and be gone for those who ring."""
        with suppress(OSError):
            os.write(self._wake, b"x")
        self._thread.join(self._timeout + 1)
        self.close_inherited()

    def close_inherited(self) -> None:
        """Close what a forked child has inherited of its parent's; the thread is not there."""
        self._listener.close()
        for end in (self._woken, self._wake):
            with suppress(OSError):
                os.close(end)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        due = time.monotonic() + self._every
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)}
            if self._woken in ready:
                return
            if ready:
                self._open()
            if time.monotonic() >= due:
                due = time.monotonic() + self._every
                self._tick()

    def _open(self) -> None:
        with suppress(OSError):
            caller, _ = self._listener.accept()
            with caller:
                caller.settimeout(self._timeout)
                data = self._answer()
                caller.sendall(_LENGTH.pack(len(data)))
                caller.sendall(data)


def request_states(folder: int, names: Iterable[str], timeout: Callable[[str], float]) -> Mapping[str, bytes]:
    """What those of these workers handed out who did so in time; they work at it side by side."""
    callers: dict[str, socket.socket] = {}
    start = time.monotonic()
    try:
        for name in names:
            caller = callers[name] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            caller.setblocking(False)  # a full queue of callers means: not in time
            with suppress(OSError):
                caller.connect(_address(folder, name))
        found: dict[str, bytes] = {}
        for name, caller in callers.items():
            with suppress(OSError, ValueError):
                found[name] = _read(caller, start + timeout(name))
        return found
    finally:
        for caller in callers.values():
            caller.close()


def _read(caller: socket.socket, until: float) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(caller, _LENGTH.size, until))
    if length > _MOST:
        raise ValueError("no worker's answer is that long")
    return bytes(_exactly(caller, length, until))


def _exactly(caller: socket.socket, length: int, until: float) -> bytearray:
    """That many bytes. Raises ``OSError`` where they do not come in time."""
    data = bytearray(length)
    view, at = memoryview(data), 0
    while at < length:
        caller.settimeout(max(0.001, until - time.monotonic()))
        got = caller.recv_into(view[at:])
        if not got:
            raise ConnectionError("the worker hung up")
        at += got
    return data


def _address(folder: int, name: str) -> str:
    """The socket's path by the folder's descriptor where that works: a Unix socket's path has room for 107 bytes only."""
    short = f"/proc/self/fd/{folder}"
    return f"{short if Path(short).exists() else os.fspath(_named(folder))}/{name}.sock"


def _named(folder: int) -> str:
    import fcntl

    return fcntl.fcntl(folder, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()  # type: ignore[attr-defined]  # macOS
