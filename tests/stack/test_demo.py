"""`make demo` as a person sees it: in a terminal until Ctrl-C, elsewhere for a while."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.process import until

ROOT = Path(__file__).parents[2]
OVERVIEW = (
    "A2A Requests (5m)",
    "A2A p95 Latency",
    "A2A Error Rate",
    "Active Tasks",
    "CCR Tokens (1h)",
    "Rate Limit Denials",
)


class Terminal:
    """The demo in a terminal of its own."""

    def __init__(self) -> None:
        self._main, child = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40", "CI": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo"], cwd=ROOT, env=environment, stdin=child, stdout=child, stderr=child,
            start_new_session=True,
        )  # fmt: skip
        os.close(child)
        os.set_blocking(self._main, False)
        self.seen = ""

    def read(self) -> str:
        """Everything shown so far."""
        try:
            while more := os.read(self._main, 65536):
                self.seen += more.decode()
        except OSError:  # nothing there now, or the other side is closed
            pass
        return self.seen

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._main)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.close()


def test_ctrl_c_ends_the_demo_with_the_service(terminal: Terminal) -> None:
    """In a terminal the tiles show up in colour; Ctrl-C ends with status 0 and leaves no service listening."""
    until("a tile with a request", lambda: re.search(r"\b[1-9]\d*\b.*│", terminal.read()) and "\x1b[" in terminal.seen)
    address = re.search(r"http://127\.0\.0\.1:(\d+)", terminal.seen)
    assert address is not None
    terminal.process.send_signal(signal.SIGINT)
    until("the demo to end", lambda: (terminal.read(), terminal.process.poll() is not None)[1])
    assert terminal.process.returncode == 0
    assert "Traceback" not in terminal.read()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address[1])))


def test_without_a_terminal_it_ends_by_itself_with_a_summary() -> None:
    """Into a pipe the demo writes its Overview row once, without colour, and ends with status 0."""
    command = [sys.executable, "-m", "demo", "--seconds", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b[" not in done.stdout
    assert [title for title in OVERVIEW if done.stdout.count(title) != 1] == []
    assert re.search(r"greedy +\d+ +[1-9]\d*", done.stdout), "the greedy workspace is denied"
