"""What is wrong with labels, or over a limit, is counted once for each measurement that is kept, and for nothing else."""

from __future__ import annotations

import os
import threading
from math import nan
from typing import Any

import pytest
from opentelemetry.context import Context

from telemetry import AgentOSTelemetry, Telemetry, install
from telemetry._base.diagnostics import Diagnostics, EventCount
from telemetry.agentos import catalogue as rows
from telemetry.agentos import default as process
from telemetry.metric import Catalogue, counter, histogram, open_label, telemetry_metrics, up_down_counter
from tests.helpers.samples import above_zero, read

WHO = open_label("who", "w", limit=1)
HITS, LEVEL = counter("hits", "", "h", WHO), up_down_counter("level", "", "l", WHO)
TOOK = histogram("took", "s", "t", WHO, bounds=(1,))
LIST = Catalogue([HITS, LEVEL, TOOK, *telemetry_metrics.TELEMETRY])


def full() -> Telemetry:
    """A telemetry whose one place for ``who`` is taken."""
    telemetry = Telemetry(LIST)
    for metric in (HITS, LEVEL, TOOK):
        telemetry[metric].labels("first")
    return telemetry


def overflow(telemetry: Telemetry) -> dict[str, float]:
    """metric -> measurements that went into 'other'."""
    found = above_zero(telemetry, "agentos_telemetry_overflow_total")
    return {dict(labels)["metric"]: value for (_, labels), value in found.items()}


def test_each_measurement_of_a_handle_is_counted() -> None:
    """A handle that is kept and used again counts every time; asking for it counts nothing."""
    telemetry = full()
    hits, level, took = (telemetry[metric].labels("second") for metric in (HITS, LEVEL, TOOK))
    assert overflow(telemetry) == {}
    for _ in range(3):
        hits.inc()
        level.inc(2)
        level.dec()
        took.observe(0.5)
    with took.time(), level.track_inprogress():
        pass
    assert overflow(telemetry) == {"hits_total": 3.0, "level": 8.0, "took_seconds": 4.0}


def test_opentelemetrys_own_words_count_too() -> None:
    """add() and record(), with a context or without one."""
    telemetry = full()
    telemetry[HITS].add(1, {"who": "second"})
    telemetry[TOOK].record(1, {"who": "third"}, Context())
    assert overflow(telemetry) == {"hits_total": 1.0, "took_seconds": 1.0}


@pytest.mark.parametrize("value", [nan, -1, "x"])
def test_what_is_refused_is_not_kept_under_other(value: Any) -> None:
    """A measurement that is not recorded is dropped, and not an overflow as well."""
    telemetry = full()
    telemetry[TOOK].labels("second").observe(value)
    telemetry[TOOK].record(value, {"who": "second"}, Context())
    assert overflow(telemetry) == {}
    assert sum(above_zero(telemetry, "agentos_telemetry_dropped_total").values()) == 2.0


def test_value_that_is_called_other_is_no_overflow() -> None:
    """Who writes 'other' or 'invalid' means that series."""
    telemetry = full()
    for value in ("other", "invalid"):
        telemetry[HITS].labels(value).inc()
    assert above_zero(telemetry) == {("hits_total", (("who", "other"),)): 1.0, ("hits_total", (("who", "invalid"),)): 1.0}


def test_a_call_of_an_agent_over_the_limit_is_counted_once_a_measurement() -> None:
    """Neither the zeros of a new series nor the look-up of a bundle count: only what the call records."""
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
    """What cannot be hashed, or spelled, is kept under 'invalid' by every helper."""
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


def test_a_tally_is_exact_from_any_thread() -> None:
    """Eight threads count while a ninth reads: nothing is lost, and reading counts nothing."""
    tally, stop = EventCount(), threading.Event()

    def read_on() -> None:
        last = 0
        while not stop.is_set():
            last, before = tally.value, last
            assert last >= before

    def count() -> None:
        for _ in range(20_000):
            tally.increment()

    reader, threads = threading.Thread(target=read_on), [threading.Thread(target=count) for _ in range(8)]
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    assert (tally.value, tally.value) == (160_000, 160_000)


def test_a_forked_child_counts_from_zero() -> None:
    """What the parent had is the parent's: the child begins at 0, with the handles that it inherited."""
    diagnostics = Diagnostics()
    one = diagnostics.counter_of(("row", "a")).increment
    one()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        one()
        one()
        os.write(write_end, str(diagnostics.values("row")).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 100).decode() == "{('a',): 2}"
    assert diagnostics.values("row") == {("a",): 1}
    os.close(read_end)
    os.close(write_end)
