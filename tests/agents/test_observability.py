"""The stable import surface for the metrics: its names, and its functions on the process's default telemetry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agents import observability
from telemetry.agentos import catalogue, default
from telemetry.agentos.default import current
from telemetry.metric import Metric

INTERFACE = {
    "REGISTRY",
    "AGENTOS_INFO",
    "A2A_REQUEST_DURATION",
    "A2A_REQUEST_COUNT",
    "A2A_ACTIVE_TASKS",
    "A2A_RESPONSE_SIZE",
    "CACHE_OPERATIONS",
    "CACHE_LATENCY",
    "RATE_LIMIT_HITS",
    "CCR_REQUESTS",
    "CCR_LATENCY",
    "CCR_TOKENS",
    "RequestTimer",
    "get_metrics",
    "get_content_type",
    "record_a2a_request",
    "record_cache_operation",
    "record_rate_limit_hit",
    "record_ccr_request",
}


def test_exported_names_are_the_interface_and_the_rows() -> None:
    """Both import paths export the interface's names and an instrument for each row of the catalogue, and nothing else."""
    instruments = {name for name, value in vars(catalogue).items() if isinstance(value, Metric)} - {"A2A_REQUESTS"}
    assert set(observability.__all__) == set(observability.metrics.__all__) == INTERFACE | instruments
    for name in observability.__all__:
        assert getattr(observability, name) is getattr(observability.metrics, name)
    assert repr(observability.A2A_REQUEST_COUNT) == "<counter a2a_requests_total>"
    assert observability.get_content_type() == "text/plain; version=0.0.4; charset=utf-8"


def test_name_that_is_no_row_is_no_attribute() -> None:
    """A name that neither the interface nor the catalogue has raises as in any module."""
    with pytest.raises(AttributeError, match="has no attribute 'A2A_NOTHING'"):
        observability.A2A_NOTHING  # noqa: B018 - reading it is the test


CALLS = """
from agents import observability as o
o.record_a2a_request("navi", "query", "error", 0.2, 300, error_type="timeout")
o.record_cache_operation("get", "hit", 0.002)
o.record_rate_limit_hit("/a", "denied", "w1")
o.record_ccr_request("p", "chat", "success", 0.1, 3, 4, 10)
o.CCR_TOKENS.labels("p", "input").inc(2)
print("\\n".join(line for line in o.get_metrics().decode().splitlines() if line[0] != "#" and not line.endswith(" 0")))
"""


def test_functions_record_into_the_process_default() -> None:
    """Before an app starts, each function and each instrument records into the default telemetry of the process."""
    printed = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {line for line in printed if "_bucket" not in line and "target_info" not in line and "_sum" not in line} == {
        'a2a_request_duration_seconds_count{agent="navi",operation="query",status="error"} 1',
        'a2a_requests_total{agent="navi",operation="query",status="error"} 1',
        'a2a_errors_total{agent="navi",error_type="timeout",operation="query"} 1',
        'a2a_response_size_bytes_count{agent="navi"} 1',
        'cache_operations_total{operation="get",result="hit"} 1',
        'cache_latency_seconds_count{operation="get"} 1',
        'rate_limit_hits_total{endpoint="/a",result="denied",workspace_id="w1"} 1',
        'ccr_requests_total{provider="p",status="success",task_type="chat"} 1',
        'ccr_latency_seconds_count{provider="p"} 1',
        'ccr_tokens_total{direction="input",provider="p"} 5',
        'ccr_tokens_total{direction="output",provider="p"} 4',
        'ccr_tokens_total{direction="unknown",provider="p"} 3',
    }


def test_asking_for_the_content_type_is_no_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    """``get_content_type`` returns the type of ``get_metrics`` and leaves the cost of the last scrape as it is."""
    monkeypatch.setattr(default, "_current", None)  # another test may have shut it down
    monkeypatch.setattr(default, "_is_default", False)
    assert observability.get_metrics()
    scrape = current().reader.last_scrape
    assert scrape is not None
    assert observability.get_content_type() == "text/plain; version=0.0.4; charset=utf-8"
    assert current().reader.last_scrape is scrape
