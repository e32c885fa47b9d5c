"""A real Prometheus scrapes the running service."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import Service
from tests.helpers.required_servers import built_server

# Type and help as Prometheus must receive them, written by hand: the contract, not derived from the catalogue.
CONTRACT = {
    "a2a_request_duration_seconds": ("histogram", "A2A request duration in seconds"),
    "a2a_requests_total": ("counter", "Total A2A requests"),
    "a2a_errors_total": ("counter", "A2A requests that failed, by reason"),
    "a2a_active_tasks": ("gauge", "Currently active A2A tasks"),
    "a2a_response_size_bytes": ("histogram", "A2A response size in bytes"),
    "cache_operations_total": ("counter", "Cache operations"),
    "cache_latency_seconds": ("histogram", "Cache operation latency"),
    "rate_limit_hits_total": ("counter", "Rate limit enforcement events"),
    "ccr_requests_total": ("counter", "CCR routing requests"),
    "ccr_latency_seconds": ("histogram", "CCR routing latency"),
    "ccr_tokens_total": ("counter", "CCR tokens used"),
}
CALLS = 12


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has answered 12 calls, each after a model latency of 0.3 s."""
    settings = {"AGENTOS_PROVIDERS": '{"steady": {"latency": 0.3}}', "AGENTOS_RATE_LIMIT": "off"}
    with Service(tmp_path_factory.mktemp("service"), settings) as running:
        with ThreadPoolExecutor(4) as callers:
            answers = list(callers.map(lambda n: running.run("herald", f"call {n}", workspace="acme"), range(CALLS)))
        assert [answer.status_code for answer in answers] == [200] * CALLS
        assert running.run("navi", "once").status_code == 200
        yield running


@pytest.fixture(scope="module")
def store(measured: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped the service after its last call."""
    jobs = [scrape_job("agentos", measured.address)]
    with Prometheus(built_server("prometheus"), tmp_path_factory.mktemp("prometheus"), jobs) as running:
        until("a first scrape", lambda: running.health("agentos") == "up")
        until("the samples", lambda: running.value('sum(a2a_requests_total{job="agentos",agent="herald"})') == CALLS)
        yield running


def test_the_target_is_up(store: Prometheus) -> None:
    """Prometheus reports the service's target as up."""
    assert store.value('up{job="agentos"}') == 1


def test_every_metric_of_the_contract_has_its_type_and_help(store: Prometheus) -> None:
    """Prometheus knows type and help of each family, by the counter name that the scraped format uses."""
    known = store.metadata()
    found = {name: known.get(name) or known.get(name.removesuffix("_total"), {}) for name in CONTRACT}
    assert {name: (about.get("type"), about.get("help")) for name, about in found.items()} == CONTRACT
    about = known.get("agentos_info") or known["agentos"]
    assert (about["type"] in ("info", "gauge"), about["help"]) == (True, "AgentOS service information")


def test_each_family_of_the_contract_has_series(store: Prometheus) -> None:
    """Every metric can be queried, a histogram by its buckets."""
    suffix = {"histogram": "_bucket"}
    missing = [name for name, (kind, _) in CONTRACT.items() if not store.query(name + suffix.get(kind, ""))]
    assert missing == []
    assert store.query("agentos_info")[0].labels.keys() >= {"version", "service_name", "environment"}


def test_p95_lies_in_the_bucket_of_the_calls(store: Prometheus) -> None:
    """12 calls of a little over 0.3 s have their 95th percentile between the bounds 0.25 and 0.5."""
    buckets = 'sum by (le) (a2a_request_duration_seconds_bucket{job="agentos",agent="herald"})'
    p95 = store.value(f"histogram_quantile(0.95, {buckets})")
    assert p95 is not None
    assert 0.25 < p95 <= 0.5


def test_promtool_reports_no_problem(measured: Service, promtool: Path) -> None:
    """`promtool check metrics` accepts the exposition and reports nothing."""
    done = subprocess.run([promtool, "check", "metrics"], input=measured.metrics(), capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


NATIVE_JOBS: dict[str, dict[str, Any]] = {
    "text": {},
    "protobuf": {"scrape_native_histograms": True},
    "openmetrics_2": {"scrape_native_histograms": True, "scrape_protocols": ["OpenMetricsText2.0.0"]},
}


def test_native_histograms_of_the_service(service: Callable[..., Service], prometheus: Callable[..., Prometheus]) -> None:
    """With AGENTOS_NATIVE_HISTOGRAMS the service's histograms are native for a Prometheus that asks, else as before."""
    running = service({"AGENTOS_NATIVE_HISTOGRAMS": "on", "AGENTOS_RATE_LIMIT": "off"})
    assert [running.run("herald", f"call {n}").status_code for n in range(CALLS)] == [200] * CALLS
    jobs = [scrape_job(job, running.address, interval="2s", **options) for job, options in NATIVE_JOBS.items()]
    store = prometheus(jobs, features=["openmetrics2"])
    for job in NATIVE_JOBS:
        store.await_scrape(job)
    of = 'agent="herald",operation="query",status="success"'
    assert store.value(f'a2a_request_duration_seconds_count{{job="text",{of}}}') == CALLS
    sums = {store.value(f'a2a_request_duration_seconds_sum{{job="text",{of}}}')}
    for job in ("protobuf", "openmetrics_2"):
        found = store.histogram(f'a2a_request_duration_seconds{{job="{job}",{of}}}')
        assert (found.count, sum(bucket.count for bucket in found.buckets)) == (CALLS, CALLS)
        assert store.query(f'a2a_request_duration_seconds_bucket{{job="{job}"}}') == []
        sums.add(found.sum)
    assert len(sums) == 1
