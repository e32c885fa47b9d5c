"""Redis from the Debian package, without persistence."""

from __future__ import annotations

import socket
from pathlib import Path

from stack.servers.process import Server, free_port

__all__ = ["Redis"]


class Redis(Server):
    """A real Redis on a loopback port."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        command: list[str | Path] = [
            program,
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        super().__init__("redis", command, folder=folder, ready=self._answers_ping)

    def _answers_ping(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
