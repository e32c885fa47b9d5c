"""AgentOS' /metrics, to the byte.

``EXPOSITION_GOLDEN=write python -m pytest tests/telemetry/agentos/test_golden.py`` writes the files anew; check the
difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource

from telemetry import AGENTOS, AgentOSTelemetry
from tests.helpers.providers import OPENMETRICS

GOLDEN = Path(__file__).parent / "golden"


def agentos(native: bool = False) -> AgentOSTelemetry:
    """Returns a telemetry with one event of each kind."""
    resource = Resource({"service.name": "agentos", "service.version": "1.2.3"})
    telemetry = AgentOSTelemetry(resource=resource, native_histograms=native)
    recorder = telemetry.recorder
    telemetry[AGENTOS.by_name["agentos.info"]].info({"version": "1.2.3", "service_name": "agentos", "environment": "test"})
    recorder.record_a2a_request("navi", "query", "success", 0.42, 512)
    recorder.record_a2a_request("navi", "query", "error", 12.0, error_type="timeout")
    recorder.record_cache_operation("get", "hit", 0.0004)
    recorder.record_cache_operation("set", "ok", 0.2)
    recorder.record_rate_limit_hit("/run/{agent}", "denied", "acme")
    recorder.record_ccr_request("openai", "chat", "success", 0.9, 100, 20, 125)
    return telemetry


@pytest.mark.parametrize(("file", "accept"), [("agentos.txt", None), ("agentos.openmetrics.txt", OPENMETRICS)])
def test_golden(file: str, accept: str | None) -> None:
    """The body of a scrape is the golden file in its format, with native buckets or without."""
    body = agentos().reader.expose(accept).body
    if os.environ.get("EXPOSITION_GOLDEN") == "write":
        (GOLDEN / file).write_bytes(body)
    assert agentos(native=True).reader.expose(accept).body == body
    assert body.decode() == (GOLDEN / file).read_text(encoding="utf-8")
