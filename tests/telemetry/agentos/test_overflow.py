"""Label values of AgentOS that are over a limit, or are not text, are counted and never raise."""

from __future__ import annotations

from typing import Any

import pytest

from telemetry import AgentOSTelemetry, Telemetry, install
from telemetry.agentos import catalogue as rows
from telemetry.agentos import default as process
from tests.helpers.samples import above_zero, read


def overflow(telemetry: Telemetry) -> dict[str, float]:
    """metric -> measurements that went into 'other'."""
    found = above_zero(telemetry, "agentos_telemetry_overflow_total")
    return {dict(labels)["metric"]: value for (_, labels), value in found.items()}


def test_a_call_of_an_agent_over_the_limit_is_counted_once_a_measurement() -> None:
    """Only the measurements of a call count as overflow, not the zeros of a new series and not its look-up."""
    telemetry = AgentOSTelemetry(limits={"agent": 1})
    for agent in ("first", "second", "third"):
        with telemetry.recorder.a2a_call(agent=agent, operation="query"):
            pass
        telemetry.recorder.record_a2a_request(agent, "query", "success", 0.1)
    assert overflow(telemetry) == {
        "a2a_requests_total": 4.0,
        "a2a_request_duration_seconds": 4.0,
        "a2a_active_tasks": 4.0,  # up and down again, twice
    }


def test_other_starts_at_zero_as_well() -> None:
    """The first decision of a workspace over the limit starts the other results of 'other' at 0."""
    telemetry = AgentOSTelemetry(limits={"workspace_id": 1})
    for workspace in ("first", "second", "third"):
        telemetry.recorder.record_rate_limit_hit("/a", "denied", workspace)
    found = {dict(ls)["result"]: v for (n, ls), v in read(telemetry).items() if dict(ls).get("workspace_id") == "other"}
    assert found == {"allowed": 0.0, "denied": 2.0, "error": 0.0}


@pytest.mark.parametrize("strange", [["list"], {"set"}, None, b"\xff", 10**5000], ids=lambda value: type(value).__name__)
def test_a_strange_value_is_invalid_and_never_raises(strange: Any) -> None:
    """Every method counts a value that cannot be hashed or spelled as 'invalid'."""
    recorder = (telemetry := AgentOSTelemetry()).recorder
    recorder.record_a2a_request(strange, strange, "success", 0.1, 10)
    recorder.record_a2a_request("navi", "query", strange, 0.1)
    recorder.record_cache_operation(strange, "hit", 0.1)
    recorder.record_rate_limit_hit("/a", "allowed", strange)
    recorder.record_rate_limit_hit(strange, strange, "w")
    recorder.record_cache_operation("get", strange)
    recorder.record_ccr_request(strange, "chat", "success", 0.1)
    recorder.record_ccr_request("p", strange, strange, 0.1, 1, 2, 3)
    recorder.rate_limit_decision("/a", strange, strange)
    with recorder.a2a_call(agent=strange, operation="query"), recorder.cache_call(strange):
        pass
    with recorder.model_call(provider=strange, task_type="chat"):
        pass
    telemetry[rows.A2A_ACTIVE_TASKS].labels(strange).inc()
    assert {dict(ls)["agent"] for (n, ls) in above_zero(telemetry, "a2a_active")} == {"invalid"}


@pytest.mark.parametrize("tokens", [("x", 1, None), (1, 2, "x"), ([], {}, object())])
def test_tokens_that_are_no_numbers_never_raise(tokens: tuple[Any, ...]) -> None:
    """What a provider calls its usage may be anything: the call is counted, the failure too."""
    telemetry = AgentOSTelemetry()
    telemetry.recorder.record_ccr_request("p", "chat", "success", 0.1, *tokens)
    assert above_zero(telemetry, "ccr_requests") == {
        ("ccr_requests_total", (("provider", "p"), ("status", "success"), ("task_type", "chat"))): 1.0
    }
    assert telemetry.diagnostics.values("agentos.telemetry.dropped") == {("ccr_tokens_total", "failed"): 1}


def test_handles_of_the_default_count_in_the_configured_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """After install() a handle made before records and counts in the new telemetry."""
    monkeypatch.setattr(process, "_current", None)
    before = process.current()
    after = AgentOSTelemetry()
    handle = before[rows.CCR_REQUESTS].labels("p", "chat", "no such status")
    install(after)
    handle.inc()
    labels = (("label", "status"), ("metric", "ccr_requests_total"))
    assert above_zero(after)["agentos_telemetry_invalid_total", labels] == 1.0
