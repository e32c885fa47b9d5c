"""The service while something around it fails: rows of the table in docs/operations.md without a test elsewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from stack.servers.process import free_port, until
from stack.servers.service import ROOT
from tests.helpers.asgi_server import TIMEOUT, closed_port

GUIDE = (ROOT / "docs" / "operations.md").read_text()


@contextmanager
def logging_to(path: str, **environ: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Runs the service with its output in that file; yields the process and its URL."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "agents.main:app", "--port", str(port)]
    with Path(path).open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ}, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/health/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until("the service to be ready", is_ready)
        yield server, url
    finally:
        server.kill()
        server.wait()


def test_a_full_disk_stops_log_lines_and_nothing_else():
    """With its log on a full disk the service starts, serves, is scraped and drains: only the lines are lost."""
    away = f"http://127.0.0.1:{closed_port()}"  # makes the export's threads log as well
    with logging_to("/dev/full", OTEL_EXPORTER_OTLP_ENDPOINT=away, AGENTOS_SHUTDOWN_TIMEOUT="2") as (server, url):
        for _ in range(3):
            answer = httpx.post(f"{url}/agents/navi/runs", json={"input": "hi"}, timeout=TIMEOUT)
            assert answer.json()["status"] == "success"
        assert 'a2a_requests_total{agent="navi",operation="query",status="success"} 3' in httpx.get(f"{url}/metrics").text
        server.send_signal(signal.SIGTERM)
        # 120 is the interpreter's status for output that it could not flush at its exit.
        assert server.wait(TIMEOUT) in (0, 120)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0], ids=["back", "forth"])
def test_a_jump_of_the_clock_bends_no_duration_and_no_limit(start, monkeypatch, jump):
    """When the wall clock jumps by an hour, durations do not, the cache answers, and limits hold as before."""
    service = start(rate_limit="4/minute")
    wall = time.time
    assert [service.run("navi").status_code for _ in range(2)] == [200] * 2
    monkeypatch.setattr(time, "time", lambda: wall() + jump)
    assert [service.run("navi").status_code for _ in range(4)] == [200, 200, 429, 429]
    assert service.counted("rate_limit_hits_total") == {
        "/agents/{agent}/runs/allowed/unknown": 4,
        "/agents/{agent}/runs/denied/unknown": 2,
    }
    seconds = service.value("a2a_request_duration_seconds_sum", agent="navi", operation="query", status="success")
    assert seconds is not None
    assert 0 < seconds < abs(jump)
    assert service.counted("a2a_requests_total") == {"navi/query/success": 4}


def test_each_row_of_the_guide_names_tests_that_exist():
    """Each row of the guide's table names a test file that exists."""
    rows = re.findall(r"(?m)^\| .+ \| `(tests/\S+\.py)` \|$", GUIDE)
    assert len(rows) >= 10
    assert [row for row in rows if not (ROOT / row).is_file()] == []
