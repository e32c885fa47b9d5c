"""The compose files run by Docker.

Without an engine the tests are skipped, in CI too: unlike the other servers an engine cannot be installed on every machine.
What needs none is checked in any case: `tests/test_compose.py`, `test_compose_model.py` and `test_compose_parts.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dashboards.__main__ import BOARDS
from stack.load import traffic
from stack.servers.process import until
from tests.helpers.compose_files import PLAIN, ROOT, WITH_TEMPO, merged

SERVICE, PROMETHEUS, GRAFANA = "http://127.0.0.1:8000", "http://127.0.0.1:9090", "http://127.0.0.1:3000"
JAEGER, TEMPO, RECEIVER = "http://127.0.0.1:16686", "http://127.0.0.1:3200", "http://127.0.0.1:9099"
SKIPPED = "the compose files were not run: {} (CI skips too, because an engine cannot be installed everywhere)"
START_SECONDS = 900
"""Time for pulling the images, building our own and becoming healthy."""


class Compose:
    """A compose project of these files, under a name of its own."""

    def __init__(self, files: tuple[str, ...]) -> None:
        self.files = files
        named = [word for name in files for word in ("--file", name)]
        self._command = ["docker", "compose", "--project-name", f"agentos-test-{os.getpid()}", *named]

    def run(self, *words: str) -> str:
        """Runs a compose command and returns what it prints; an error shows what it said."""
        command = [*self._command, *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=START_SECONDS + 60)
        assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def state(self) -> dict[str, tuple[str, str]]:
        """Returns state and health of each service."""
        found = [json.loads(line) for line in self.run("ps", "--all", "--format", "json").splitlines()]
        return {each["Service"]: (each["State"], each["Health"]) for each in found}


def _require_engine() -> None:
    """Skips the test unless Docker with Compose is installed and its engine answers."""
    if shutil.which("docker") is None:
        pytest.skip(SKIPPED.format("docker is not installed"))
    for words, reason in (
        (["compose", "version"], "docker has no compose"),
        (["info"], "no Docker engine answers `docker info`"),
    ):
        if subprocess.run(["docker", *words], capture_output=True, check=False, timeout=60).returncode:
            pytest.skip(SKIPPED.format(reason))


@pytest.fixture(scope="module", params=[PLAIN, WITH_TEMPO], ids=["plain", "with Tempo"])
def compose(request: pytest.FixtureRequest) -> Iterator[Compose]:
    """All services run and are healthy; containers and volumes are removed at the end."""
    _require_engine()
    project = Compose(request.param)
    try:
        project.run("up", "--build", "--wait", "--wait-timeout", str(START_SECONDS))
        yield project
    finally:
        project.run("down", "--volumes", "--remove-orphans")


def _value(expression: str) -> float | None:
    """Returns the value of a query that yields one series; None while it yields none."""
    answer = httpx.get(f"{PROMETHEUS}/api/v1/query", params={"query": expression}, timeout=10).raise_for_status()
    result = answer.json()["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def _grafana(path: str) -> Any:
    return httpx.get(f"{GRAFANA}{path}", auth=("admin", "admin"), timeout=30).raise_for_status().json()


def _alerts() -> list[tuple[str, str, str]]:
    """Returns receiver, status and name of the alerts that arrived."""
    found = httpx.get(f"{RECEIVER}/alerts", timeout=10).raise_for_status().json()
    return [(alert["receiver"], alert["status"], alert["name"]) for alert in found]


def test_each_service_runs_and_is_healthy(compose: Compose) -> None:
    """Each service of the files runs; each but the Collector, which has no health check, is healthy."""
    expected = dict.fromkeys(merged(compose.files)["services"], ("running", "healthy"))
    assert compose.state() == {**expected, "otel-collector": ("running", "")}


def test_a_call_is_scraped_pushed_and_traced(compose: Compose) -> None:
    """One call is counted under the scraped and the pushed job, and its trace lies in each trace store."""
    (outcome,) = traffic.make(SERVICE, traffic.mixed(1))
    for job in ("agentos", "otlp/agentos"):
        counted = f'sum(a2a_requests_total{{job="{job}"}}) >= 1'
        assert until(f"the call under {job}", lambda counted=counted: _value(counted), timeout=120)  # type: ignore[misc]
    for store in (JAEGER, TEMPO) if compose.files == WITH_TEMPO else (JAEGER,):
        address = f"{store}/api/traces/{outcome.trace_id}"
        until(f"the trace at {address}", lambda address=address: httpx.get(address).status_code == 200, timeout=120)  # type: ignore[misc]


def test_grafana_has_the_dashboards_and_reaches_its_data_sources(compose: Compose) -> None:
    """A visitor finds all dashboards; each data source reaches its server, and Tempo is there only with its file."""
    found = httpx.get(f"{GRAFANA}/api/search", params={"type": "dash-db"}, timeout=30).raise_for_status().json()
    assert {board["uid"] for board in found} == {json.loads((ROOT / name).read_text())["uid"] for name in BOARDS}
    sources = {source["uid"] for source in _grafana("/api/datasources")}
    tempo = {"agentos-tempo"} if compose.files == WITH_TEMPO else set()
    assert sources == {"agentos-prometheus", "agentos-jaeger", *tempo}
    for uid in sources:
        assert _grafana(f"/api/datasources/uid/{uid}/health")["status"] == "OK", uid


def test_an_alert_arrives_at_the_receiver(compose: Compose) -> None:
    """When the service is stopped, AgentOSDown arrives as a page."""
    page = ("pager", "firing", "AgentOSDown")
    assert page not in _alerts()
    compose.run("stop", "agentos")
    try:
        until("the page", lambda: page in _alerts(), timeout=600)
    finally:
        compose.run("up", "--wait", "agentos")
