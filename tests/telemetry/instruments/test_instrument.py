"""Instruments answer to OpenTelemetry's words and to prometheus_client's."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import set_span_in_context

from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos import catalogue as rows
from telemetry.metric import Catalogue, counter, histogram, up_down_counter
from tests.helpers.clock import Clock
from tests.helpers.samples import above_zero, read

LABELS = {"agent": "navi", "operation": "query", "status": "success"}
SERIES = (("agent", "navi"), ("operation", "query"), ("status", "success"))
BARE = Catalogue(
    [counter("hits", "", "Hits"), up_down_counter("level", "", "Level"), histogram("took", "s", "Took", bounds=(1, 2))]
)


def test_labels_by_position_by_key_and_mixed_are_one_series() -> None:
    """The same values give the same handle, however they are given."""
    requests = AgentOSTelemetry(strict=True)[rows.A2A_REQUESTS]
    handle = requests.labels("navi", "query", "success")
    assert requests.labels(**LABELS) is handle
    assert requests.labels("navi", status="success", operation="query") is handle


def test_record_and_add_take_attributes() -> None:
    """OpenTelemetry's own words reach the same series as handles do."""
    telemetry = AgentOSTelemetry()
    telemetry[rows.A2A_REQUESTS].add(2, LABELS)
    telemetry[rows.A2A_REQUESTS].labels(**LABELS).inc()
    telemetry[rows.A2A_ACTIVE_TASKS].add(-1, {"agent": "navi"})
    assert above_zero(telemetry) == {("a2a_requests_total", SERIES): 3.0, ("a2a_active_tasks", (("agent", "navi"),)): -1.0}


def test_context_of_ones_own_decides_the_exemplar(traced: Telemetry) -> None:
    """record() with a context takes the exemplar from that context's span."""
    reader = InMemoryMetricReader()
    traced.meter_provider.add_metric_reader(reader)  # type: ignore[attr-defined]  # the SDK's provider
    with traced.tracer.start_as_current_span("other") as span:
        pass
    traced[rows.A2A_REQUEST_DURATION].labels(**LABELS).observe(1)
    traced[rows.A2A_REQUEST_DURATION].record(2, LABELS, set_span_in_context(span))
    data = reader.get_metrics_data()
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points  # type: ignore[union-attr]
    assert [(e.value, e.span_id) for e in points[0].exemplars] == [(2, span.get_span_context().span_id)]


def test_metrics_without_labels_are_recorded_directly() -> None:
    """A catalogue of somebody else's: without labels, no labels() is needed."""
    telemetry = Telemetry(BARE)
    telemetry[BARE[0]].inc()
    telemetry[BARE[1]].inc(3)
    telemetry[BARE[1]].dec()
    telemetry[BARE[2]].observe(1.5)
    with telemetry[BARE[1]].track_inprogress():
        assert read(telemetry)["level", ()] == 3.0
    assert read(telemetry) == {
        ("hits_total", ()): 1.0,
        ("level", ()): 2.0,
        ("took_seconds_bucket", (("le", "1.0"),)): 0.0,
        ("took_seconds_bucket", (("le", "2.0"),)): 1.0,
        ("took_seconds_bucket", (("le", "+Inf"),)): 1.0,
        ("took_seconds_count", ()): 1.0,
        ("took_seconds_sum", ()): 1.5,
    }


def test_time_observes_seconds_as_context_manager_and_decorator(clock: Clock) -> None:
    """time() works as prometheus_client's does."""
    telemetry = Telemetry(BARE, clock=clock)

    @telemetry[BARE[2]].time()
    def work() -> str:
        clock.now += 1.25
        return "done"

    with telemetry[BARE[2]].time():
        clock.now += 0.5
    assert work() == "done"
    assert read(telemetry)["took_seconds_sum", ()] == 1.75


def test_in_progress_goes_down_when_the_block_raises() -> None:
    """track_inprogress() is down at the end in every case."""
    telemetry = AgentOSTelemetry()
    gauge = telemetry[rows.A2A_ACTIVE_TASKS].labels("navi")
    with pytest.raises(ZeroDivisionError), gauge.track_inprogress():
        raise ZeroDivisionError
    assert read(telemetry)["a2a_active_tasks", (("agent", "navi"),)] == 0.0


def test_info_replaces_its_facts() -> None:
    """An info has one series: the facts given last."""
    telemetry = AgentOSTelemetry()
    info = telemetry[rows.AGENTOS_INFO]
    assert not [key for key in read(telemetry) if key[0] == "agentos_info"]
    info.info({"version": "1", "service_name": "a", "environment": "test"})
    info.info({"version": "1", "service_name": "b", "environment": "test"})
    assert [dict(labels) for name, labels in read(telemetry) if name == "agentos_info"] == [
        {"version": "1", "service_name": "b", "environment": "test"}
    ]


def test_unknown_metric_is_named() -> None:
    """Asking a telemetry for a metric that its catalogue does not have says so."""
    with pytest.raises(KeyError, match="hits_total is not recorded here"):
        AgentOSTelemetry()[BARE[0]]


def test_counter_starts_at_zero_for_its_closed_values() -> None:
    """Once the open labels are known, the closed ones all start at 0, but for those that come late."""
    telemetry = AgentOSTelemetry()
    telemetry.start_at_zero(rows.CCR_TOKENS, provider="p")
    assert {k: v for k, v in read(telemetry).items() if k[0] == "ccr_tokens_total"} == {
        ("ccr_tokens_total", (("direction", "input"), ("provider", "p"))): 0.0,
        ("ccr_tokens_total", (("direction", "output"), ("provider", "p"))): 0.0,
    }
