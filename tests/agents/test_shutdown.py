"""SIGTERM: requests end, telemetry is flushed, the exit status is 0. A second SIGTERM ends the process at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.servers.process import free_port, until
from stack.servers.service import ROOT, Service
from tests.helpers.asgi_server import TIMEOUT
from tests.helpers.otlp_receiver import receiving

SLOW = {"AGENTOS_PROVIDERS": '{"slow": {"latency": 1.5}}'}
ENDLESS = {"AGENTOS_PROVIDERS": '{"slow": {"latency": 600}}', "AGENTOS_AGENT_TIMEOUT": "600"}
LABELS = {"agent": "herald", "operation": "query"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts the service as its own process and kills it after the test."""
    with ExitStack() as stack:

        def started(**environment: str) -> Service:
            service = Service(tmp_path / "service", environment)
            stack.callback(service.kill)
            return service.start()

        yield started


@contextmanager
def stream(service: Service) -> Iterator[Iterator[str]]:
    """The lines of a run that has begun."""
    headers = {"Accept": "text/event-stream"}
    url = f"{service.url}/agents/herald/runs"
    with httpx.stream("POST", url, json={"input": "hi"}, headers=headers, timeout=TIMEOUT) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: started"
        yield lines


def counts(receiver: Any) -> dict[str, int]:
    """The last a2a.requests that were pushed, by status."""
    last: dict[str, int] = {}
    while not receiver.metrics.empty():
        for metric in receiver.metrics.get_nowait().resource_metrics[0].scope_metrics[0].metrics:
            if metric.name == "a2a.requests":
                for point in metric.sum.data_points:
                    labels = {one.key: one.value.string_value for one in point.attributes}
                    if labels.items() >= LABELS.items():
                        last[labels["status"]] = point.as_int
    return last


def push(url: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
    }


def test_idle_service_ends_with_0(run):
    """SIGTERM to a service without requests: exit status 0."""
    assert run().stop(signal.SIGTERM) == 0


def test_requests_end_and_their_metrics_are_handed_over(run):
    """A stream under way goes on to its final event, its count is pushed before the end, and the exit status is 0."""
    with receiving() as receiver:
        service = run(**SLOW, **push(receiver.url))
        with stream(service) as lines:
            os.kill(service.pid, signal.SIGTERM)
            assert "event: done" in list(lines)
        assert service.ended() == 0
        assert counts(receiver) == {"success": 1, "error": 0}


def test_no_new_connection_is_taken_after_sigterm(run):
    """While the last requests end, the port takes no new connection."""
    service = run(**SLOW)
    with stream(service) as lines:
        os.kill(service.pid, signal.SIGTERM)
        until("the port to be closed", lambda: not is_open(service.port), timeout=5)
        assert "event: done" in list(lines)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_request_that_does_not_end_is_cut_off(run):
    """After AGENTOS_SHUTDOWN_TIMEOUT running requests are cancelled and counted as errors, and the exit status is 0."""
    with receiving() as receiver:
        service = run(**ENDLESS, AGENTOS_SHUTDOWN_TIMEOUT="0.5", **push(receiver.url))
        with stream(service) as lines:
            assert service.stop(signal.SIGTERM) == 0  # without the timeout it would take 600 s
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
        assert counts(receiver) == {"success": 0, "error": 1}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_hung_collector_does_not_hold_up_the_end(run, protocol):
    """A Collector that accepts connections and never answers holds the service no longer than its timeout; status 0."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hung:
        url = f"http://127.0.0.1:{hung.getsockname()[1]}"
        variables = {**push(url), "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        service = run(**variables, AGENTOS_SHUTDOWN_TIMEOUT="1")
        service.run("navi", "hi")
        assert service.stop(signal.SIGTERM) == 0
        assert "could not be handed over within 1 s" in service.tail()


def test_a_second_sigterm_ends_at_once(run):
    """A second SIGTERM ends the process at once, by that signal, though a request has 600 s to end."""
    service = run(**ENDLESS, AGENTOS_SHUTDOWN_TIMEOUT="600")
    with stream(service):
        os.kill(service.pid, signal.SIGTERM)
        until("the port to be closed", lambda: not is_open(service.port), timeout=5)
        assert service.stop(signal.SIGTERM) == -signal.SIGTERM


def test_the_command_lines_timeout_takes_precedence(run):
    """uvicorn's --timeout-graceful-shutdown takes precedence over AGENTOS_SHUTDOWN_TIMEOUT."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "agents.main:app", "--port", str(port), "--timeout-graceful-shutdown", "1"]
    environment = {**os.environ, **ENDLESS, "AGENTOS_SHUTDOWN_TIMEOUT": "1000"}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        until("the service to be there", lambda: is_open(port))
        headers = {"Accept": "text/event-stream"}
        url = f"http://127.0.0.1:{port}/agents/herald/runs"
        with httpx.stream("POST", url, json={"input": "hi"}, headers=headers, timeout=TIMEOUT) as answer:
            assert next(answer.iter_lines()) == "event: started"
            server.send_signal(signal.SIGTERM)
            assert server.wait(TIMEOUT) == 0
    finally:
        server.kill()
        server.wait()


def test_workers_drain_though_they_are_signalled_twice(run):
    """A supervised worker that gets SIGTERM from its supervisor and from outside still ends its requests."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "agents.main:app", "--port", str(port), "--workers", "2"]
    parent = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **SLOW},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until("a worker to be there", lambda: is_open(port))
        headers = {"Accept": "text/event-stream"}
        url = f"http://127.0.0.1:{port}/agents/herald/runs"
        with httpx.stream("POST", url, json={"input": "hi"}, headers=headers, timeout=3 * TIMEOUT) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: started"
            os.killpg(parent.pid, signal.SIGTERM)  # as systemd does: to all of the service's processes
            assert "event: done" in list(lines)
        assert parent.wait(TIMEOUT) == 0
    finally:
        parent.kill()
        parent.wait()
