"""`make stack` and the Prometheus configuration, as an operator uses them."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stack.servers.process import until
from tests.helpers.required_servers import built_server
from tests.helpers.terminal import running

ROOT = Path(__file__).parents[2]
WELL = re.compile(r"( \x1b\[32mok\x1b\[0m [^\r]*\r\n){5}")
"""Five consecutive hops of the pipeline, each with a green ok."""


def test_make_stack_checks_the_pipeline_and_stops_cleanly() -> None:
    """After some calls each hop of the pipeline is ok, and all servers stop with status 0."""
    for name in ("prometheus", "otelcol", "jaeger"):
        built_server(name)
    command = [sys.executable, "-m", "stack", "--seconds", "12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line.startswith(" no ")] == []
    assert done.stdout.count(" ok ") == 5
    assert done.stdout.endswith("all stopped\n")


def test_ctrl_c_stops_the_whole_stack() -> None:
    """In a terminal the check runs until Ctrl-C, which ends it with status 0; no server listens afterwards."""
    for name in ("prometheus", "otelcol", "jaeger"):
        built_server(name)
    with running("stack") as terminal:
        until(
            "every hop to be well",
            lambda: len(re.findall(r"ok\S* ", terminal.read().rpartition("service")[2])) >= 4,
            timeout=90,
        )
        ports = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", terminal.seen)}
        terminal.process.send_signal(signal.SIGINT)
        until("the stack to end", terminal.ended, timeout=60)
        assert terminal.process.returncode == 0, terminal.seen[-2000:]
        assert "all stopped" in terminal.seen
        assert "Traceback" not in terminal.seen
    assert len(ports) >= 5
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_promtool_accepts_the_prometheus_configuration(promtool: Path) -> None:
    """`promtool check config` accepts dashboards/prometheus.yml and the rule files it names."""
    command = [str(promtool), "check", "config", "dashboards/prometheus.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_scrape_job_is_the_contracts() -> None:
    """Job agentos scrapes agentos:8000/metrics every 15 seconds."""
    config = yaml.safe_load((ROOT / "dashboards" / "prometheus.yml").read_text())
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "agentos")
    assert job["static_configs"] == [{"targets": ["agentos:8000"]}]
    assert (job["metrics_path"], config["global"]["scrape_interval"]) == ("/metrics", "15s")
