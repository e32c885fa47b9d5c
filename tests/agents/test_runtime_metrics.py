"""The metrics of the service's own process: off, on, and its event loop."""

from __future__ import annotations

import pytest

from agents.main import create_app
from agents.settings import Settings, SettingsError
from telemetry import AgentOSTelemetry
from tests.helpers.service import RunningService, StartService

PROCESS = ("process_", "python_")


def families(service: RunningService) -> set[str]:
    """Returns the families of the scrape that describe the process."""
    lines = service.client.get("/metrics").text.splitlines()
    return {line.split()[2] for line in lines if line.startswith("# TYPE ") and line.split()[2].startswith(PROCESS)}


def test_by_default_the_process_is_not_shown(start: StartService) -> None:
    """Without the setting /metrics has application metrics only."""
    assert families(start()) == set()


def test_with_the_setting_the_process_is_shown(start: StartService) -> None:
    """With AGENTOS_RUNTIME_METRICS=on /metrics has the process, and the service's event loop is watched while it is open."""
    service = start(runtime_metrics=True)
    assert service.value("process_workers") == 1
    assert (service.value("process_cpu_seconds_total") or 0) > 0
    assert service.value("python_eventloop_blocked_seconds") == 0
    while not service.value("python_eventloop_lag_seconds_count"):
        pass  # the first timer runs after 0.1 s


def test_a_telemetry_without_the_rows_is_refused() -> None:
    """The setting with a telemetry of one's own needs its catalogue to have the rows."""
    with pytest.raises(SettingsError, match="AGENTOS_RUNTIME_METRICS is 'on': the catalogue has no row of RUNTIME"):
        create_app(Settings(runtime_metrics=True), AgentOSTelemetry())
