"""Every panel of the models' dashboard against a real Prometheus that scraped two real services under known traffic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from stack.load import traffic
from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from tests.helpers.dashboard_panels import (
    FORMS,
    HISTOGRAM_PANELS,
    MODEL_PANELS,
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
from tests.helpers.model_traffic import PEERS, QUESTIONS, SUMMARIES, instances
from tests.helpers.required_servers import built_server

ROOT = Path(__file__).parents[2]
COUNTED = {
    'ccr_requests_total{provider="main.v1",task_type="question",status="error"}': 4,
    'ccr_errors_total{provider="main.v1",reason="rate_limit"}': 1,
    'ccr_errors_total{provider="main.v1",reason="server"}': 2,
    'ccr_errors_total{provider="main.v1",reason="client"}': 1,
    'ccr_errors_total{provider="down",reason="unreachable"}': 3,
    'ccr_errors_total{provider="backup",reason="client"}': 1,
    'ccr_retries_total{provider="main.v1",reason="rate_limit"}': 1,
    'ccr_retries_total{provider="main.v1",reason="server"}': 1,
    'ccr_retries_total{provider="down",reason="unreachable"}': 2,
    'ccr_fallbacks_total{from_provider="main.v1",to_provider="backup",reason="server"}': 1,
    'ccr_fallbacks_total{from_provider="main.v1",to_provider="backup",reason="client"}': 1,
    'ccr_fallbacks_total{from_provider="down",to_provider="backup",reason="unreachable"}': 1,
    'ccr_fallbacks_total{from_provider="down",to_provider="backup",reason="breaker_open"}': 5,
    'ccr_skips_total{provider="down",reason="breaker_open"}': 5,
    'ccr_breaker_changes_total{provider="down",state="open"}': 1,
    'ccr_attempts_count{task_type="question",status="success"}': 8,
    'ccr_attempts_sum{task_type="question",status="success"}': 4 * 1 + 2 + 3 + 1 + 2,
    'ccr_attempts_sum{task_type="summary",status="success"}': 3 + 2 + 1 + 1 + 1,
    'ccr_attempts_sum{task_type="summary",status="error"}': 1,
    'ccr_time_to_first_token_seconds_count{provider="main.v1"}': 6,
    'ccr_model_tokens_total{provider="main.v1",model="m",kind="input"}': 5 * 8,
    'ccr_model_tokens_total{provider="main.v1",model="m",kind="cached"}': 5 * 3,
    'ccr_model_tokens_total{provider="backup",model="n",kind="output"}': 7 * 3,
    'ccr_model_tokens_total{provider="backup",model="n",kind="reasoning"}': 7 * 2,
    'ccr_cost_USD_total{provider="main.v1",model="m"}': 0.295,  # 5 x (8 x 2 + 3 x 1 + 5 x 8) / 1000
    'ccr_cost_USD_total{provider="backup",model="n"}': 0,
    'ccr_unpriced_total{provider="main.v1",model="m",reason="usage"}': 1,
    'ccr_unpriced_total{provider="backup",model="n",reason="model"}': 7,
    'a2a_task_state_count_total{agent="peer",a2a_task_state="TASK_STATE_COMPLETED"}': 3,
    'a2a_task_state_count_total{agent="peer",a2a_task_state="TASK_STATE_SUBMITTED"}': 3,
    'a2a_request_error_count_total{agent="strict",rpc_response_status_code="-32603"}': 2,
    'a2a_request_error_count_total{agent="strict",rpc_response_status_code="-32001"}': 1,
    'a2a_client_response_time_to_first_event_seconds_count{agent="peer",operation="query"}': 3,
    'a2a_request_size_bytes_count{agent="strict"}': 3,
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """The traffic has ended, except for one call at a provider that takes one at a time, and one call queued behind it."""
    folder = tmp_path_factory.mktemp("models")
    with ExitStack() as lasting:
        with ExitStack() as stack:
            one, two = instances(stack, folder)
            targets = [{"targets": [one.address, two.address]}]
            jobs = [scrape_job(job, "", static_configs=targets, **FORMS[job]) for job in FORMS]
            store = lasting.enter_context(Prometheus(built_server("prometheus"), folder / "prometheus", jobs))
            _wait(store, "the zeros", 'count(a2a_task_state_count_total{a2a_task_state="TASK_STATE_FAILED"})', 4 * len(jobs))
            outcomes = traffic.make(one.url, QUESTIONS + SUMMARIES, at_once=1)
            assert [outcome.status for outcome in outcomes] == ["success"] * 13 + ["error"]
            traffic.make(two.url, PEERS, at_once=1)
            client = stack.enter_context(httpx.Client(base_url=one.url, timeout=30))
            for name, in_flight, waiting in (("the running call", 1, 0), ("the waiting call", 1, 1)):
                body, headers = {"input": name, "operation": "announce"}, {"Accept": "text/event-stream"}
                stack.enter_context(client.stream("POST", "/agents/herald/runs", json=body, headers=headers))
                _wait(store, name, 'sum(ccr_in_flight{provider="narrow"})', in_flight * len(jobs))
                _wait(store, name, 'sum(ccr_queued{provider="narrow"})', waiting * len(jobs))
            _wait(store, "the model requests", "sum(histogram_count(ccr_attempts) or ccr_attempts_count)", 14 * len(jobs))
            _wait(store, "the agents' errors", "sum(a2a_request_error_count_total)", 3 * len(jobs))
            at = time.time()
        yield Measured(store, at)


def _wait(store: Prometheus, what: str, query: str, value: float) -> None:
    until(what, lambda: store.value(query) == value)


@pytest.mark.parametrize(("series", "count"), COUNTED.items())
def test_metrics_grew_by_exactly_the_events(measured: Measured, series: str, count: float) -> None:
    """The difference of the last and the first sample is the number of events that the scripted servers and agents caused."""
    assert grew(measured, series) == count


def _unanswered(raw: Raw) -> dict[str, float]:
    ended = raw.part("ccr_attempts", "count", "5m", "status")
    return now(ended["error",] / sum(ended.values()))


def _failed(raw: Raw) -> dict[str, float]:
    failed = raw.total("ccr_errors_total", "rate[5m]", lambda labels: labels["reason"] != "cancelled")
    return now(failed / raw.total("ccr_requests_total", "rate[5m]"))


def _attempts(raw: Raw) -> dict[str, float]:
    total, count = (raw.part("ccr_attempts", part, "60s", "task_type") for part in ("sum", "count"))
    return {task_type: total[task_type,] / number for (task_type,), number in count.items() if number}


def _turns(raw: Raw) -> dict[str, float]:
    return rates(raw, "ccr_fallbacks_total", "from_provider", "to_provider", times=60, between=" to ")


def _level(raw: Raw, metric: str) -> dict[str, float]:
    return {provider: value for (provider,), value in raw.by(metric, "", "provider").items()}


FIRST = "ccr_time_to_first_token_seconds"
EXPECTED: dict[str, Callable[[Raw], dict[str, float]]] = {
    "Unanswered Requests": _unanswered,
    "Failed Attempts": _failed,
    "First Token p95": lambda raw: now(quantiles(raw, 0.95, FIRST, "5m")[()]),
    "Open Breakers": lambda raw: now(sum(level == 2 for level in _level(raw, "ccr_breaker_state").values())),
    "Waiting Calls": lambda raw: now(raw.total("ccr_queued", "")),
    "Cost (1h)": lambda raw: now(raw.total("ccr_cost_USD_total", "increase[1h]")),
    "Attempts per Request": _attempts,
    "Errors by Reason": lambda raw: rates(raw, "ccr_errors_total", "reason", times=60),
    "Retries by Provider": lambda raw: rates(raw, "ccr_retries_total", "provider", times=60),
    "Fall-backs": _turns,
    "Time to First Token": lambda raw: distribution(raw, FIRST, "provider"),
    "Calls in Flight": lambda raw: _level(raw, "ccr_in_flight"),
    "Calls Waiting": lambda raw: _level(raw, "ccr_queued"),
    "Breaker State": lambda raw: _level(raw, "ccr_breaker_state"),
    "Breaker Openings": lambda raw: rates(
        raw, "ccr_breaker_changes_total", "provider", where=lambda labels: labels["state"] == "open", times=60
    ),
    "Skipped Calls": lambda raw: rates(raw, "ccr_skips_total", "provider", times=60),
    "Tokens by Kind": lambda raw: rates(raw, "ccr_model_tokens_total", "kind"),
    "Tokens by Model": lambda raw: rates(raw, "ccr_model_tokens_total", "model", "provider"),
    "Cost by Model": lambda raw: rates(raw, "ccr_cost_USD_total", "model", "provider", times=3600),
    "Unpriced Calls": lambda raw: rates(raw, "ccr_unpriced_total", "model", "reason", times=60),
    "Task States": lambda raw: rates(raw, "a2a_task_state_count_total", "a2a_task_state", times=60),
    "A2A Error Codes": lambda raw: rates(raw, "a2a_request_error_count_total", "rpc_response_status_code", times=60),
    "Time to First Event": lambda raw: distribution(raw, "a2a_client_response_time_to_first_event_seconds", "agent"),
    "Request Size": lambda raw: distribution(raw, "a2a_request_size_bytes", "agent"),
}

ALL = Selection("all", {})
# Fall-backs are filtered by the provider that did not answer.
ONE = Selection("one", {"provider": ["main.v1"], "from_provider": ["main.v1"], "model": ["m"], "agent": ["peer"]})
SEVERAL = Selection(
    "several",
    {"provider": ["main.v1", "down"], "from_provider": ["main.v1", "down"], "model": ["m", "n"], "agent": ["peer", "navi"]},
)


CASES = [(title, "agentos") for title in EXPECTED] + [
    (title, job) for title in HISTOGRAM_PANELS if title in EXPECTED for job in FORMS if job != "agentos"
]


@pytest.mark.parametrize("selection", [ALL, ONE, SEVERAL], ids=lambda selection: selection.name)
@pytest.mark.parametrize(("title", "job"), CASES)
def test_a_panel_shows_the_values_of_the_single_series(measured: Measured, title: str, job: str, selection: Selection) -> None:
    """Each panel's values equal those computed from Prometheus' extrapolation of every single series of the job."""
    selection = replace(selection, job=job)
    shown = asked(measured.store, title, selection, measured.at)
    assert shown, "the panel is empty"
    assert shown == pytest.approx(EXPECTED[title](Raw(measured.store, measured.at, selection)), rel=1e-9)


@pytest.mark.parametrize(("title", "job"), CASES)
def test_a_panel_draws_over_time_without_nan(measured: Measured, title: str, job: str) -> None:
    """Each query returns samples over the time of the traffic, and each is a number."""
    for target in drawn(MODEL_PANELS[title]):
        times = {"start": str(measured.at - 5), "end": str(measured.at), "step": "1"}
        series = measured.store.get("query_range", query=interpolated(target["expr"], replace(ALL, job=job)), **times)["result"]
        assert series, target["refId"]
        assert not [value for one in series for _, value in one["values"] if value in ("NaN", "+Inf", "-Inf")]


def test_levels_and_shares_are_those_of_the_traffic(measured: Measured) -> None:
    """One breaker is open, one call runs and one waits; 12 attempts gave 8 answers; 1 of 14 requests had no answer."""
    shown = {title: asked(measured.store, title, ALL, measured.at) for title in EXPECTED}
    none = {"main.v1": 0, "backup": 0, "down": 0, "builtin": 0}
    assert shown["Breaker State"] == none | {"narrow": 0, "down": 2}
    assert (shown["Open Breakers"], shown["Waiting Calls"]) == ({"now": 1}, {"now": 1})
    assert shown["Calls in Flight"] == shown["Calls Waiting"] == none | {"narrow": 1}
    assert shown["Attempts per Request"]["question"] == pytest.approx(12 / 8, abs=0.05)
    assert shown["Unanswered Requests"]["now"] == pytest.approx(1 / 14, abs=0.01)
    assert shown["Failed Attempts"]["now"] == pytest.approx(8 / 21, abs=0.03)


@pytest.mark.parametrize("job", FORMS)
def test_alerts_find_these_series(measured: Measured, job: str) -> None:
    """The expressions of the model calls' alerts find the series: the open breaker and the fall-backs fire."""
    rules = yaml.safe_load((ROOT / "dashboards/rules/agentos-alerts.yml").read_text())["groups"][0]["rules"]
    # The traffic is shorter than the minute by which the alerts' subqueries step.
    exprs = {rule["alert"]: rule["expr"].replace('"agentos"', f'"{job}"').replace(":1m]", ":100ms]") for rule in rules}
    found = {
        alert: measured.store.get("query", query=exprs[alert], time=str(measured.at))["result"]
        for alert in ("CCRBreakerOpen", "CCRFallingBack", "CCRCallsUnpriced")
    }
    assert [one["metric"]["provider"] for one in found["CCRBreakerOpen"]] == ["down"]
    assert [one["metric"]["from_provider"] for one in found["CCRFallingBack"]] == ["down"]
    assert found["CCRCallsUnpriced"] == []
