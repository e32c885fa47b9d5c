"""Instruments have the methods of OpenTelemetry and those of prometheus_client."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import set_span_in_context

from telemetry import Telemetry
from telemetry.metric import Catalogue, counter, histogram, up_down_counter
from tests.helpers.catalogue import ACTIVE, CATALOGUE, DURATION, GOODS, INFO, LABELS, REQUESTS, SERIES
from tests.helpers.clock import Clock
from tests.helpers.samples import above_zero, read
from tests.helpers.sdk_versions import adds_readers_later

BARE = Catalogue(
    [counter("hits", "", "Hits"), up_down_counter("level", "", "Level"), histogram("took", "s", "Took", bounds=(1, 2))]
)


def test_labels_by_position_by_key_and_mixed_are_one_series() -> None:
    """The same label values give the same bound series, by position, by key or mixed."""
    requests = Telemetry(CATALOGUE, strict=True)[REQUESTS]
    bound = requests.labels("north", "pay", "success")
    assert requests.labels(**LABELS) is bound
    assert requests.labels("north", status="success", operation="pay") is bound


def test_record_and_add_take_attributes() -> None:
    """``add()`` and ``record()`` reach the same series as ``labels()``."""
    telemetry = Telemetry(CATALOGUE)
    telemetry[REQUESTS].add(2, LABELS)
    telemetry[REQUESTS].labels(**LABELS).inc()
    telemetry[ACTIVE].add(-1, {"shop": "north"})
    assert above_zero(telemetry) == {("shop_requests_total", SERIES): 3.0, ("shop_active_requests", (("shop", "north"),)): -1.0}


@adds_readers_later
def test_given_context_decides_the_exemplar(shop: Telemetry) -> None:
    """``record()`` with a context takes the exemplar from that context's span."""
    reader = InMemoryMetricReader()
    shop.meter_provider.add_metric_reader(reader)  # type: ignore[attr-defined]  # the SDK's provider
    with shop.tracer.start_as_current_span("other") as span:
        pass
    shop[DURATION].labels(**LABELS).observe(1)
    shop[DURATION].record(2, LABELS, set_span_in_context(span))
    data = reader.get_metrics_data()
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points  # type: ignore[union-attr]
    assert [(e.value, e.span_id) for e in points[0].exemplars] == [(2, span.get_span_context().span_id)]


def test_metrics_without_labels_are_recorded_directly() -> None:
    """An instrument without labels records without a call of ``labels()``."""
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
    """``time()`` observes the seconds of a block and of each call of a function."""
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
    """``track_inprogress()`` subtracts again when an exception leaves the block."""
    telemetry = Telemetry(CATALOGUE)
    gauge = telemetry[ACTIVE].labels("north")
    with pytest.raises(ZeroDivisionError), gauge.track_inprogress():
        raise ZeroDivisionError
    assert read(telemetry)["shop_active_requests", (("shop", "north"),)] == 0.0


def test_info_replaces_its_facts() -> None:
    """An info has one series, with the facts that were set last."""
    telemetry = Telemetry(CATALOGUE)
    info = telemetry[INFO]
    assert not [key for key in read(telemetry) if key[0] == "shop_info"]
    info.info({"version": "1", "environment": "a"})
    info.info({"version": "1", "environment": "b"})
    assert [dict(labels) for name, labels in read(telemetry) if name == "shop_info"] == [{"version": "1", "environment": "b"}]


def test_unknown_metric_is_named() -> None:
    """Asking a telemetry for a metric that its catalogue does not have raises an error that names the metric."""
    with pytest.raises(KeyError, match="hits_total is not recorded here"):
        Telemetry(CATALOGUE)[BARE[0]]


def test_counter_starts_at_zero_for_its_closed_values() -> None:
    """``start_at_zero`` starts a series for each closed value, but for the late ones."""
    telemetry = Telemetry(CATALOGUE)
    telemetry.start_at_zero(GOODS, shop="north")
    assert {k: v for k, v in read(telemetry).items() if k[0] == "shop_goods_total"} == {
        ("shop_goods_total", (("direction", "in"), ("shop", "north"))): 0.0,
        ("shop_goods_total", (("direction", "out"), ("shop", "north"))): 0.0,
    }
