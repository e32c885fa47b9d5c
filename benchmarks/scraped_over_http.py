"""Scrapes over HTTP whose cost is the server's alone: the client is another process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from time import process_time
from typing import Any

import uvicorn

__all__ = ["Client", "serving"]

_CLIENT = """
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=300)
headers = json.loads(sys.argv[2])
for _ in sys.stdin:
    connection.request("GET", "/metrics", headers=headers)
    answer = connection.getresponse()
    print(answer.status, answer.getheader("content-encoding"), len(answer.read()), flush=True)
"""


class _Server(uvicorn.Server):
    """Sets ``listening`` once it listens."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none", timeout_keep_alive=600)
        )
        self.listening = Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Serves an ASGI application by uvicorn in a thread of this process; yields the port."""
    server = _Server(app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        server.listening.wait()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


class Client:
    """Another process that scrapes this one over one connection.

    Args:
        port: Where this process listens.
        headers: Those of each request.
    """

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        command = [sys.executable, "-c", _CLIENT, str(port), json.dumps(dict(headers))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def scrape(self) -> tuple[float, str]:
        """Returns this process' processor time of one scrape in seconds, and its status, coding and bytes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        start = process_time()
        self._process.stdin.write("\n")
        answer = self._process.stdout.readline()
        return process_time() - start, answer.strip()

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
