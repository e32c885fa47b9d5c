"""The application as a server starts and stops it: errors of its settings, its telemetry, its workers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from a2a.utils import telemetry as a2a_telemetry

from agents.main import app, create_app
from agents.settings import Settings, SettingsError
from stack.servers.process import until
from telemetry import current
from telemetry.metricdata.stream import Snapshot, StreamKind
from tests.helpers.asgi_server import TIMEOUT, closed_port, serving
from tests.helpers.service import running_service

ROOT = Path(__file__).parents[2]


def start_and_fail(**environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uvicorn", "agents.main:app", "--port", "0"]
    env = {**os.environ, **environ}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_bad_setting_stops_the_start_with_one_sentence():
    """A bad setting ends uvicorn with the sentence that names the setting, without a stack trace."""
    done = start_and_fail(AGENTOS_AGENT_TIMEOUT="soon")
    assert done.returncode == 3
    assert "ERROR:    AGENTOS_AGENT_TIMEOUT is 'soon': a number of seconds above 0 is needed" in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_under_way_end_before_the_service_does(tmp_path):
    """After SIGTERM a stream of a built-in agent continues to its final event."""
    port = closed_port()
    command = [sys.executable, "-m", "uvicorn", "agents.main:app", "--port", str(port)]
    env = {**os.environ, "AGENTOS_PROVIDERS": '{"slow": {"latency": 3}}'}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        until("the service to be ready", lambda: _is_ready(port))
        stream = {"Accept": "text/event-stream"}
        url = f"http://127.0.0.1:{port}/agents/herald/runs"
        with httpx.stream("POST", url, json={"input": "hi"}, headers=stream, timeout=TIMEOUT) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: started"
            server.send_signal(signal.SIGTERM)
            assert "event: done" in list(lines)
        server.wait(TIMEOUT)
    finally:
        server.kill()
        server.wait()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("switch", [False, True])
def test_http_metrics_are_there_only_when_switched_on(start, switch):
    """The HTTP server's own metrics are off by default, and on with AGENTOS_HTTP_METRICS."""
    service = start(http_metrics=switch)
    service.run("navi")
    assert ("\nhttp_server_" in service.client.get("/metrics").text) is switch


def test_import_reads_no_setting():
    """Importing the module reads no setting: they are read at the start."""
    code = "import agents.main; print(type(agents.main.app).__name__)"
    env = {**os.environ, "AGENTOS_AGENT_TIMEOUT": "soon"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


EARLY = """
import httpx
from agents.observability import CACHE_OPERATIONS, get_metrics, record_a2a_request
record_a2a_request("navi", "query", "success", 0.2, 300)
CACHE_OPERATIONS.labels("get", "hit").inc(2)
print(get_metrics().decode().count('a2a_requests_total{agent="navi",operation="query",status="success"} 1\\n'))
from agents.main import app
from tests.helpers.asgi_server import serving
with serving(app) as url:
    assert httpx.post(f"{url}/agents/navi/runs", json={"input": "hello"}, timeout=20).status_code == 200
    record_a2a_request("navi", "query", "success", 0.2, 300)
    text = httpx.get(f"{url}/metrics").text
    assert text == get_metrics().decode()
print("\\n".join(line for line in text.splitlines() if not line.endswith(" 0")))
"""


def test_counts_from_before_the_app_are_served_by_it():
    """The app's /metrics has the counts from before it was made, and those that are recorded beside it."""
    done = subprocess.run([sys.executable, "-c", EARLY], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, *served = done.stdout.splitlines()
    sample = 'a2a_requests_total{agent="navi",operation="query",status="success"}'
    assert first == "1"
    assert f"{sample} 3" in served
    assert 'cache_operations_total{operation="get",result="hit"} 2' in served
    assert 'cache_operations_total{operation="get",result="miss"} 1' in served


def test_uvicorn_target_serves():
    """agents.main:app serves runs of the built-in agents and its metrics with the default settings."""
    with serving(app) as url:
        answer = httpx.post(f"{url}/agents/navi/runs", json={"input": "hello"}, timeout=TIMEOUT)
        assert answer.json()["status"] == "success"
        assert 'agentos_info{environment="production"' in httpx.get(f"{url}/metrics").text


def test_sdks_own_spans_are_off():
    """a2a-sdk's own instrumentation, which would add 70 spans and more to each call, is off."""
    assert a2a_telemetry.otel_enabled is False


def test_given_telemetry_is_neither_installed_nor_shut_down():
    """An app neither installs a telemetry that it is given nor shuts it down."""
    with running_service(Settings()) as service:
        assert current() is not service.telemetry
        with serving(create_app(Settings(), service.telemetry)):
            pass
        service.run("navi")
        assert service.counted("a2a_requests_total") == {"navi/query/success": 1}


def test_stopping_leaves_no_thread_behind():
    """A service that has stopped leaves no thread behind."""
    before = set(threading.enumerate())
    with running_service(Settings()) as service:
        service.run("navi")
    lasting = {thread.name for thread in set(threading.enumerate()) - before}
    assert lasting == set()


def test_two_services_in_one_process_are_apart():
    """Each service has its own telemetry, agents and limits."""
    with running_service(Settings()) as one, running_service(Settings()) as two:
        assert one.run("navi").status_code == 200
        assert one.counted("a2a_requests_total") == {"navi/query/success": 1}
        assert two.counted("a2a_requests_total") == {}


def test_a_state_directory_that_others_can_enter_stops_the_start(tmp_path: Path) -> None:
    """A state directory that other users can enter stops the start with one sentence."""
    tmp_path.chmod(0o755)
    with pytest.raises(SettingsError) as caught:
        create_app(Settings(workers="on", state_directory=str(tmp_path)))
    wanted = f"AGENTOS_STATE_DIRECTORY is '{tmp_path}': {tmp_path} must be a directory of this user with mode 0700."
    assert str(caught.value) == wanted


def test_too_low_a_series_limit_is_named() -> None:
    """A limit of series that is too low for the default label limits is named, with the least that fits."""
    with pytest.raises(SettingsError) as caught:
        create_app(Settings(max_series=10))
    least = re.fullmatch(r"AGENTOS_MAX_SERIES is 10: a whole number from (\d+) on is needed, or .*\.", str(caught.value))
    assert least is not None
    with pytest.raises(SettingsError, match=f"AGENTOS_MAX_SERIES is {int(least[1]) - 1}: "):
        create_app(Settings(max_series=int(least[1]) - 1))
    create_app(Settings(max_series=int(least[1])))
    current().shutdown()


@pytest.mark.parametrize(("environ", "native"), [({}, False), ({"AGENTOS_NATIVE_HISTOGRAMS": "on"}, True)])
def test_native_histograms_are_off_unless_asked_for(environ: dict[str, str], native: bool) -> None:
    """``AGENTOS_NATIVE_HISTOGRAMS=on`` gives every histogram native buckets; by default none has them."""
    create_app(Settings.from_environment(environ | {"AGENTOS_MODEL_METRICS": "on", "AGENTOS_GENAI_METRICS": "all"}))
    telemetry = current()
    telemetry.recorder.record_a2a_request("navi", "query", "success", 0.2, 300)

    def forms(snapshot: Snapshot) -> set[tuple[StreamKind, bool]]:
        return {(stream.kind, stream.native) for stream in snapshot.streams if "HISTOGRAM" in stream.kind.name}

    assert telemetry.reader.read_local(forms) == {(StreamKind.HISTOGRAM, native)}
    telemetry.shutdown()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"workspace_id": 10_000_000}, "rate_limit_hits_total could have .* at most 500000 are allowed"),
        ({"workspace": 5}, "no open label 'workspace'; the open labels are .*"),
    ],
)
def test_bad_label_limits_are_named(limits: dict[str, int], reason: str) -> None:
    """Label limits that make too many series, or name no open label, are an error of AGENTOS_LABEL_LIMITS."""
    with pytest.raises(SettingsError, match=rf"^AGENTOS_LABEL_LIMITS is {re.escape(str(limits))}: {reason}\.$"):
        create_app(Settings(label_limits=limits))


@pytest.mark.parametrize(("workers", "several"), [("on", True), ("auto", False), ("off", False)])
def test_workers_are_several_where_a_setting_or_a_server_says_so(tmp_path: Path, workers: str, several: bool) -> None:
    """A process that no server has started is one of several workers only if the setting says so."""
    create_app(Settings(workers=workers, state_directory=str(tmp_path / "state")))
    telemetry = current()
    telemetry.shutdown()
    assert (telemetry.workers is not None) is several
    assert (tmp_path / "state").exists() is several
