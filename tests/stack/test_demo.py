"""`make demo`: in a terminal it runs until Ctrl-C, elsewhere for a given time; it shows agents, tools, MCP and workspaces."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.servers.process import until
from tests.helpers.terminal import Terminal, running

ROOT = Path(__file__).parents[2]
OVERVIEW = ("A2A Requests (5m)", "A2A p95 Latency", "A2A Error Rate", "Active Tasks", "CCR Tokens (1h)", "Rate Limit Denials")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with running("demo") as terminal:
        yield terminal


def test_ctrl_c_ends_the_demo_with_the_service(terminal: Terminal) -> None:
    """In a terminal the tiles are coloured; Ctrl-C ends the demo with status 0 and leaves no service listening."""
    until("a tile with a request", lambda: re.search(r"\b[1-9]\d*\b.*│", terminal.read()) and "\x1b[" in terminal.seen)
    address = re.search(r"http://127\.0\.0\.1:(\d+)", terminal.seen)
    assert address is not None
    terminal.process.send_signal(signal.SIGINT)
    until("the demo to end", terminal.ended)
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
    assert "http://localhost:3000" in done.stdout, "it says where the same is in a browser"


def test_agents_tools_mcp_and_workspaces_have_their_numbers() -> None:
    """herald's briefs show in navi's calls, tools and MCP requests are counted with their failures, workspaces cost money."""
    command = [sys.executable, "-m", "demo", "--seconds", "8"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {words[0]: words[1:] for line in done.stdout.splitlines() if (words := line.split())}
    for agent in ("herald", "navi"):
        assert int(rows[agent][-2]) > 0, "model calls"
    assert (int(rows["navi"][-1]) > 0, rows["herald"][-1]) == (True, "0"), "tools are navi's"
    assert int(rows["calculate"][0]) > 0
    assert int(rows["look_up"][0]) == int(rows["tools/call"][0]) > 0
    assert rows["glossary"] == ["up"]
    for workspace in ("acme", "globex", "greedy"):
        *_, tokens, cost, budget, left = rows[workspace]
        assert int(tokens.replace(",", "")) > 0
        spent, given, rest = (float(one.replace("$", "").replace(",", "")) for one in (cost, budget, left))
        assert abs(given - spent - rest) < 0.011, "what is left is the budget without the cost, but for rounding"
