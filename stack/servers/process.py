"""A real server as a child process: started, awaited until it is ready, and stopped."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import httpx

__all__ = ["Server", "ServerError", "free_port", "until"]

T = TypeVar("T")
_PAUSE = threading.Event()  # never set: the pause between two questions to another process
_START = random.randrange(20_000, 31_000)
_PORTS = itertools.count(_START)


class ServerError(Exception):
    """A server did not start, did not stop, or did not reach a state in time."""


def free_port() -> int:
    """Returns an unused loopback port.

    The port lies below the kernel's range for clients, so that no connection takes it while its server is away.

    Raises:
        ServerError: If no port between 20000 and 32000 is free.
    """
    for _ in range(2_000):
        port = 20_000 + (next(_PORTS) - 20_000) % 12_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError("no free port between 20000 and 32000")


def until(what: str, ask: Callable[[], T | None], *, timeout: float = 30.0) -> T:
    """Calls ``ask`` every 50 ms until it returns something true: another process has no event to wait on.

    Args:
        what: The awaited state, for the error.
        ask: Asks the other process.
        timeout: Seconds.

    Returns:
        The true answer.

    Raises:
        ServerError: If no answer is true in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise ServerError(f"waited {timeout:g} s for: {what}; the last answer was {answer!r}")
        _PAUSE.wait(0.05)


class Server:
    """One child process with its log file.

    Args:
        name: The server's name, also of its log file.
        command: The command line.
        folder: The working folder, which holds the log.
        ready: An address that answers 200 when the server is ready, or a function that returns True then.
        environment: Variables beside those of this process.
        timeout: Seconds that the server has to become ready.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        folder: Path,
        ready: str | Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [str(word) for word in command]
        self._folder = folder
        self._ready = ready
        self._environment = {**os.environ, **(environment or {})}
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, environment: Mapping[str, str]) -> None:
        """Adds variables to the environment of the next start."""
        self._environment.update(environment)

    def start(self) -> Self:
        """Starts the process and returns once it is ready.

        Raises:
            ServerError: If the process ends or is not ready in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which then stops its servers
            )
        until(f"{self.name} to be ready", self._is_ready, timeout=self._timeout)
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def resident_bytes(self) -> int:
        """Returns the resident memory of the process in bytes, from ``/proc``."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Returns the processor time of the process since its start, from ``/proc``."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout: float = 20.0) -> int:
        """Stops the process and returns its exit status.

        Raises:
            ServerError: If the process does not end in time; it is then killed.
        """
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
        return self.ended(timeout, how.name)

    def ended(self, timeout: float = 20.0, after: str = "being waited for") -> int:
        """Waits for the end of the process and returns its exit status.

        Raises:
            ServerError: If the process does not end in time; it is then killed.
        """
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(f"{self.name} did not stop within {timeout:g} s of {after}") from None

    def kill(self) -> None:
        """Kills the process, as an outage does."""
        self.stop(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _is_ready(self) -> bool:
        if not self.running:
            raise ServerError(f"{self.name} ended before it was ready:\n{self.tail()}")
        if callable(self._ready):
            return self._ready()
        try:
            return httpx.get(self._ready, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def tail(self, lines: int = 20) -> str:
        """Returns the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
