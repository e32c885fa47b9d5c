"""Every panel against a real Prometheus that scraped the real service under known traffic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest

from stack.load import traffic
from stack.load.traffic import Call
from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import Service
from tests.helpers.dashboard_panels import (
    FORMS,
    HISTOGRAM_PANELS,
    PANELS,
    RATE_INTERVAL,
    Measured,
    Raw,
    Selection,
    asked,
    distribution,
    drawn,
    grew,
    interpolated,
    now,
    quantiles,
    rates,
)
from tests.helpers.required_servers import built_server

SETTINGS = {
    "AGENTOS_PROVIDERS": '{"swift.v1": {"latency": 0.3}, "broken": {"failure_rate": 1}, "slow": {"latency": 120}}',
    "AGENTOS_ROUTES": '{"question": ["swift.v1"], "summary": ["broken"], "writing": ["slow"]}',
    "AGENTOS_RATE_LIMIT": "20/hour",
    "AGENTOS_SHUTDOWN_TIMEOUT": "0.5",
    "AGENTOS_NATIVE_HISTOGRAMS": "on",
}
# Three words in; out: "This is about question. You wrote: one two three. That makes 3 tokens read."
ASKED = [Call("navi", "query", "acme", f"one two {last}") for last in ("three", "four", "five", "six")]
AGAIN = [ASKED[0]] * 8
FAILS = [Call("navi", "summarize", "acme", f"sum {n}") for n in range(5)]
DENIED_LAST = [Call("herald", "query", "zen.io", "one two three")] * 23

COUNTED = {
    'a2a_requests_total{agent="navi",operation="query",status="success"}': 12,
    'a2a_requests_total{agent="navi",operation="summarize",status="error"}': 5,
    'a2a_requests_total{agent="herald",operation="query",status="success"}': 20,
    'a2a_errors_total{agent="navi",operation="summarize",error_type="agent"}': 5,
    'rate_limit_hits_total{workspace_id="acme",result="allowed"}': 17,
    'rate_limit_hits_total{workspace_id="acme",result="denied"}': 0,
    'rate_limit_hits_total{workspace_id="zen.io",result="allowed"}': 20,
    'rate_limit_hits_total{workspace_id="zen.io",result="denied"}': 3,
    'cache_operations_total{operation="get",result="hit"}': 8,
    'cache_operations_total{operation="get",result="miss"}': 9,
    'cache_operations_total{operation="set",result="ok"}': 4,
    'ccr_requests_total{provider="swift.v1",task_type="question",status="success"}': 24,
    'ccr_requests_total{provider="broken",task_type="summary",status="error"}': 5,
    'ccr_tokens_total{provider="swift.v1",direction="input"}': 24 * 3,
    'ccr_tokens_total{provider="swift.v1",direction="output"}': 24 * 18,
}

ALL = Selection("all", {})
ONE = Selection("one", {"agent": ["navi"], "operation": ["query"], "provider": ["swift.v1"], "workspace_id": ["zen.io"]})
SEVERAL = Selection(
    "several",
    {
        "agent": ["navi", "herald"],
        "operation": ["query", "summarize"],
        "provider": ["swift.v1", "broken"],
        "workspace_id": ["acme", "zen.io"],
    },
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """The traffic has ended, except for one call to herald that is still running."""
    with ExitStack() as stack:
        service = stack.enter_context(Service(tmp_path_factory.mktemp("service"), SETTINGS))
        jobs = [scrape_job(job, service.address, **FORMS[job]) for job in FORMS]
        store = stack.enter_context(Prometheus(built_server("prometheus"), tmp_path_factory.mktemp("prometheus"), jobs))
        zeros = "count(a2a_requests_total == 0)"
        until("the zeros of both agents", lambda: store.value(zeros) == len(jobs) * 12)
        for calls in (ASKED, AGAIN + FAILS + DENIED_LAST):
            traffic.make(service.url, calls, at_once=8)
        # All jobs have scraped the end of all calls, so that the one task seen below is the slow call's.
        answered = sum(count for series, count in COUNTED.items() if series.startswith("a2a_requests_total"))
        until("the calls", lambda: store.value("sum(a2a_requests_total)") == len(jobs) * answered)
        client = stack.enter_context(httpx.Client(base_url=service.url, timeout=30))
        slow = {"input": "wait", "operation": "announce"}
        headers = {"Accept": "text/event-stream", "X-Workspace-Id": "slow.one"}
        stack.enter_context(client.stream("POST", "/agents/herald/runs", json=slow, headers=headers))
        until("the running call", lambda: store.value('sum(a2a_active_tasks{agent="herald"})') == len(jobs))
        yield Measured(store, time.time())


@pytest.mark.parametrize(("series", "count"), COUNTED.items())
def test_counters_grew_by_exactly_the_sent_calls(measured: Measured, series: str, count: int) -> None:
    """The difference of a counter's last and first sample is the number of events."""
    # A workspace is unknown before its first decision, so its counters may start during the traffic.
    assert grew(measured, series, from_nothing=series.startswith("rate_limit_hits_total")) == count


def _error_rate(raw: Raw) -> dict[str, float]:
    errors = raw.total("a2a_requests_total", "rate[5m]", lambda labels: labels["status"] == "error")
    return now(errors / raw.total("a2a_requests_total", "rate[5m]"))


def _hit_ratio(raw: Raw) -> dict[str, float]:
    results = raw.by("cache_operations_total", "rate[5m]", "result", where=lambda labels: labels["operation"] == "get")
    return now(results["hit",] / (results["hit",] + results["miss",]))


DURATION = "a2a_request_duration_seconds"
EXPECTED: dict[str, Callable[[Raw], dict[str, float]]] = {
    "A2A Requests (5m)": lambda raw: now(raw.total("a2a_requests_total", "increase[5m]")),
    "A2A p95 Latency": lambda raw: now(quantiles(raw, 0.95, DURATION, "5m")[()]),
    "A2A Error Rate": _error_rate,
    "Active Tasks": lambda raw: now(raw.total("a2a_active_tasks", "")),
    "CCR Tokens (1h)": lambda raw: now(raw.total("ccr_tokens_total", "increase[1h]")),
    "Rate Limit Denials": lambda raw: now(
        raw.total("rate_limit_hits_total", "increase[5m]", lambda labels: labels["result"] == "denied")
    ),
    "Request Rate by Agent": lambda raw: rates(raw, "a2a_requests_total", "agent"),
    "Request Duration Percentiles (p50, p95, p99)": lambda raw: {
        f"p{100 * q:g}": quantiles(raw, q, DURATION, RATE_INTERVAL)[()] for q in (0.5, 0.95, 0.99)
    },
    "Active Tasks by Agent": lambda raw: {agent: value for (agent,), value in raw.by("a2a_active_tasks", "", "agent").items()},
    "Success vs Error Rate": lambda raw: rates(raw, "a2a_requests_total", "status"),
    "Request Rate by Provider": lambda raw: rates(raw, "ccr_requests_total", "provider"),
    "Token Usage by Provider": lambda raw: rates(raw, "ccr_tokens_total", "direction", "provider"),
    "Request Latency by Provider": lambda raw: distribution(raw, "ccr_latency_seconds", "provider"),
    "Requests by Task Type": lambda raw: rates(raw, "ccr_requests_total", "task_type"),
    "Rate Limit Decisions": lambda raw: rates(raw, "rate_limit_hits_total", "result"),
    "Cache Hit/Miss Rate": lambda raw: rates(
        raw,
        "cache_operations_total",
        "result",
        where=lambda labels: labels["operation"] == "get" and labels["result"] in ("hit", "miss", "error"),
    ),
    "Cache Hit Ratio": _hit_ratio,
    "Cache Latency by Operation": lambda raw: distribution(raw, "cache_latency_seconds", "operation"),
}
CACHE = ("Cache Hit/Miss Rate", "Cache Hit Ratio", "Cache Latency by Operation")
"""Panels that no variable filters: the cache's label ``operation`` is not the agents'."""


CASES = [(title, "agentos") for title in PANELS] + [
    (title, job) for title in HISTOGRAM_PANELS if title in PANELS for job in FORMS if job != "agentos"
]


@pytest.mark.parametrize("selection", [ALL, ONE, SEVERAL], ids=lambda selection: selection.name)
@pytest.mark.parametrize(("title", "job"), CASES)
def test_a_panel_shows_the_values_of_the_single_series(measured: Measured, title: str, job: str, selection: Selection) -> None:
    """Each panel's values equal those computed from Prometheus' extrapolation of every single series of the job."""
    selection = replace(selection, job=job)
    raw = Raw(measured.store, measured.at, replace(ALL, job=job) if title in CACHE else selection)
    shown = asked(measured.store, title, selection, measured.at)
    assert shown, "the panel is empty"
    assert shown == pytest.approx(EXPECTED[title](raw), rel=1e-9)


@pytest.mark.parametrize(("title", "job"), CASES)
def test_a_panel_draws_over_time_without_nan(measured: Measured, title: str, job: str) -> None:
    """Each query returns samples over the time of the traffic, and each is a number."""
    for target in drawn(PANELS[title]):
        query = interpolated(target["expr"], replace(ALL, job=job))
        times = {"start": str(measured.at - 10), "end": str(measured.at), "step": "1"}
        series = measured.store.get("query_range", query=query, **times)["result"]
        assert series, target["refId"]
        assert not [value for one in series for _, value in one["values"] if value in ("NaN", "+Inf", "-Inf")]


def test_percentiles_lie_in_the_buckets_of_the_calls(measured: Measured) -> None:
    """24 of 37 calls took the model's 0.3 s or more: no percentile lies below their bucket or above the slowest call's."""
    counts = {
        float(bound): n for (bound,), n in Raw(measured.store, measured.at, ALL).by(f"{DURATION}_bucket", "", "le").items()
    }
    slowest = min(bound for bound, count in counts.items() if count == 37)
    shown = asked(measured.store, "Request Duration Percentiles (p50, p95, p99)", ALL, measured.at)
    assert 0.25 < shown["p50"] <= shown["p95"] <= shown["p99"] <= slowest


def test_ratios_are_those_of_the_traffic(measured: Measured) -> None:
    """5 of 37 calls failed and 8 of 17 look-ups hit; extrapolation moves both shares by less than a hundredth."""
    assert asked(measured.store, "A2A Error Rate", ALL, measured.at)["now"] == pytest.approx(5 / 37, abs=0.01)
    assert asked(measured.store, "Cache Hit Ratio", ALL, measured.at)["now"] == pytest.approx(8 / 17, abs=0.01)
    assert asked(measured.store, "Active Tasks by Agent", ALL, measured.at) == {"herald": 1, "navi": 0}
