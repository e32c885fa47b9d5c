"""Connections that keep descriptors: how many, how long, and what the log has of them."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

from agents.runtime.connections import Connections, RepeatedLines
from stack.servers.process import until
from tests.helpers.asgi_server import TIMEOUT, closed_port
from tests.helpers.clock import Clock

ROOT = Path(__file__).parents[2]
BODY = b"POST /agents/navi/runs HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"


class Connection:
    """A connection as uvicorn's protocols show it."""

    def __init__(self) -> None:
        self.cycle: Any = None
        self.closed = False
        self.transport = SimpleNamespace(close=self.close)

    def close(self) -> None:
        self.closed = True

    def asks(self, *, whole: bool) -> None:
        self.cycle = SimpleNamespace(response_complete=False, more_body=not whole)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config("none:none", timeout_graceful_shutdown=8))


def test_a_connection_without_a_request_is_closed(clock, server):
    """A connection that sends no request is closed after the time, one that is answered meanwhile is not."""
    connections = Connections(server, 10, 100, clock)
    silent, busy = Connection(), Connection()
    connections.add(silent)
    connections.add(busy)
    busy.asks(whole=True)
    clock.now += 9.9
    connections.check()
    assert (silent.closed, busy.closed) == (False, False)
    clock.now += 0.1
    connections.check()
    clock.now += 1000
    connections.check()
    assert (silent.closed, busy.closed) == (True, False)


def test_a_body_that_does_not_come_is_closed(clock, server):
    """A body has its own time, from when its head came, and the next request of the connection as well."""
    connections = Connections(server, 10, 100, clock)
    connection = Connection()
    connections.add(connection)
    clock.now += 9
    connections.check()
    connection.asks(whole=False)
    connections.check()
    clock.now += 9
    connections.check()
    connection.cycle.more_body = False
    connection.cycle.response_complete = True
    connections.check()
    clock.now += 9
    connections.check()
    assert not connection.closed
    clock.now += 1
    connections.check()
    assert connection.closed


def test_beyond_the_number_the_longest_waiting_is_closed(clock, server):
    """One connection too many closes the one that has waited longest for its request, never one that is served."""
    connections = Connections(server, 10, 2, clock)
    busy, old, new, newest = (Connection() for _ in range(4))
    busy.asks(whole=True)
    for each in (busy, old, new):
        connections.add(each)
        clock.now += 1
    assert (busy.closed, old.closed, new.closed) == (False, True, False)
    new.asks(whole=True)
    connections.add(newest)
    assert (busy.closed, new.closed, newest.closed) == (False, False, True)
    for each in (busy, old, new, newest):
        connections.discard(each)
    assert len(connections) == 0


def test_at_shutdown_a_body_has_half_the_time(clock, server):
    """When the server ends, a body that is not complete after half the time for it is closed, a run under way is not."""
    connections = Connections(server, 1000, 100, clock)
    running, sending = Connection(), Connection()
    for each, whole in ((running, True), (sending, False)):
        connections.add(each)
        each.asks(whole=whole)
    connections.check()
    server.should_exit = True
    for closed in (False, False, True):
        connections.check()
        assert (running.closed, sending.closed) == (False, closed)
        clock.now += 2


def test_a_line_that_clients_cause_is_logged_once_a_minute(clock, caplog):
    """The first line of a minute is logged without a stack trace, later with the number of those left out; others all."""
    logger = logging.getLogger("test.repeated")
    logger.addFilter(RepeatedLines(60, clock))
    for _ in range(100):
        logger.error("socket.accept() out of system resource\nsocket: x", exc_info=OSError(24, "Too many open files"))
        logger.error("another")
    clock.now += 60
    logger.error("socket.accept() out of system resource\nsocket: x")
    lines = [record.getMessage() for record in caplog.records if "socket" in record.getMessage()]
    assert lines == [
        "socket.accept() out of system resource",
        "socket.accept() out of system resource (99 more since the last such line)",
    ]
    assert [record.exc_info for record in caplog.records if "socket" in record.getMessage()] == [None, None]
    assert sum(record.getMessage() == "another" for record in caplog.records) == 100


@contextmanager
def process(log: Path, descriptors: int = 0, *options: str, **environ: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The service as an operator starts it, with a limit of descriptors; yields it and its port."""
    port = closed_port()
    command = [sys.executable, "-m", "uvicorn", "agents.main:app", "--port", str(port), *options]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    with log.open("wb") as file:
        running = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=file,
            stderr=file,
            preexec_fn=limited if descriptors else None,
            start_new_session=True,
        )
    try:
        until("the service to be ready", lambda: answers(port, "/health/ready"))
        yield running, port
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # its workers too
        running.wait(TIMEOUT)


def answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_idle_connections_leave_descriptors_for_scrapes(tmp_path, workers):
    """With 64 descriptors and 300 idle connections scrapes and runs are answered, and the log stays small."""
    options = [] if workers == 1 else ["--workers", str(workers)]
    with process(tmp_path / "log", 64, *options) as (_, port), ExitStack() as held:
        before = (tmp_path / "log").stat().st_size
        for _ in range(3):
            for _ in range(100):
                held.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT))
            assert answers(port, "/metrics")
            run = httpx.post(f"http://127.0.0.1:{port}/agents/navi/runs", json={"input": "hi"}, timeout=TIMEOUT)
            assert run.status_code == 200
        assert (tmp_path / "log").stat().st_size - before < 4096


def test_a_connection_that_sends_nothing_is_closed(tmp_path):
    """Connections without a request, with half a head and with half a body are closed after the setting's time."""
    with process(tmp_path / "log", AGENTOS_RECEIVE_TIMEOUT="1") as (_, port), ExitStack() as held:
        waiting = [held.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT)) for _ in range(3)]
        for connection, part in zip(waiting, (b"", b"GET /agents HT", BODY), strict=True):
            connection.sendall(part)
        assert [connection.recv(1) for connection in waiting] == [b""] * 3


def test_unfinished_bodies_do_not_hold_the_end_up(tmp_path):
    """30 unfinished bodies at SIGTERM: status 0 within the time for it, and no stack trace."""
    with process(tmp_path / "log", AGENTOS_SHUTDOWN_TIMEOUT="4") as (running, port), ExitStack() as held:
        for _ in range(30):
            held.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT)).sendall(BODY)
        assert answers(port, "/metrics")
        running.send_signal(signal.SIGTERM)
        assert running.wait(TIMEOUT) == 0
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    assert "timeout graceful shutdown exceeded" not in text
