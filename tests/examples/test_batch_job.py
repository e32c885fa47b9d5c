"""The example of a batch job."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.helpers.example_process import EXAMPLES, clean_environment


def test_a_job_pushes_its_totals_once_at_its_end(tmp_path: Path) -> None:
    """A job with one file of two lines and one missing file replaces its group at the gateway and ends with 1."""
    (tmp_path / "two").write_text("a\nb\n")
    status, path, lines = _run(tmp_path / "two", tmp_path / "missing")
    assert (status, path) == (1, "PUT /metrics/job/lines")
    assert sorted(line for line in lines if line.startswith("job_")) == [
        'job_files_total{result="failed"} 1.0',
        'job_files_total{result="read"} 1.0',
        "job_lines_total 2.0",
    ]


def test_a_job_without_a_failure_pushes_when_it_ended(tmp_path: Path) -> None:
    """The time of the last success is pushed, and the exit status is 0."""
    (tmp_path / "one").write_text("a\n")
    status, _, lines = _run(tmp_path / "one")
    assert status == 0
    assert 'job_files_total{result="failed"} 0.0' in lines
    assert [line.partition(" ")[0] for line in lines if "success" in line] == ["job_last_success_seconds"]


def _run(*files: Path) -> tuple[int, str, list[str]]:
    """Runs the job beside a gateway; returns the exit status, the gateway's only request and its samples."""
    requests: list[tuple[str, str]] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            requests.append((f"PUT {self.path}", body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Suppresses the server's log."""

    with HTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        environment = {**os.environ, **clean_environment(), "PUSHGATEWAY": f"127.0.0.1:{gateway.server_port}"}
        job = subprocess.run([sys.executable, EXAMPLES / "batch_job.py", *files], env=environment, check=False)
        gateway.shutdown()
        thread.join()
    ((path, body),) = requests
    return job.returncode, path, [line for line in body.splitlines() if not line.startswith("#")]
