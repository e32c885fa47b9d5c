"""Instruments whose values are read at each collect, and what the telemetry shows about itself."""

from __future__ import annotations

from decimal import Decimal

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View

from telemetry import Catalogue, RequestTimer, Telemetry
from telemetry.instruments.observable import ObservableValues
from telemetry.metric import observable_counter, observable_gauge, open_label, telemetry_metrics
from tests.helpers.catalogue import CATALOGUE, DURATION, LABELS, REQUESTS
from tests.helpers.failing_view import FailingAggregation
from tests.helpers.samples import above_zero, read

TANK = open_label("tank", "t", limit=2)
LEVEL = observable_gauge("level", "", "Level", TANK)
POURED = observable_counter("poured", "", "Poured", TANK)
TANKS = Catalogue([LEVEL, POURED, *telemetry_metrics.TELEMETRY])


def test_callback_is_read_at_each_collect() -> None:
    """A gauge shows what its callback returns when it is scraped."""
    telemetry, level = Telemetry(TANKS), {("a",): 1.0}
    telemetry[LEVEL].watch(lambda: level)
    assert read(telemetry) == {("level", (("tank", "a"),)): 1.0}
    level["a",] = 2.5
    assert read(telemetry) == {("level", (("tank", "a"),)): 2.5}


def test_kept_level_stays_from_scrape_to_scrape() -> None:
    """A level that is set once is in every scrape until it is set again."""
    telemetry = Telemetry(TANKS, strict=True)
    level = ObservableValues(telemetry[LEVEL])
    level.set(2, "a")
    assert [read(telemetry) for _ in range(2)] == [{("level", (("tank", "a"),)): 2.0}] * 2
    level.set(0, "a")
    assert read(telemetry) == {("level", (("tank", "a"),)): 0.0}


def test_kept_sum_is_exact() -> None:
    """A thousand tenths are a hundred, where adding floats makes 99.9999999999986."""
    telemetry = Telemetry(TANKS, strict=True)
    poured, floats = ObservableValues(telemetry[POURED]), 0.0
    for _ in range(1000):
        poured.add(Decimal("0.1"), "a")
        floats += 0.1
    assert floats != 100
    assert read(telemetry) == {("poured_total", (("tank", "a"),)): 100.0}


def test_kept_values_are_bounded_as_recorded_ones_are() -> None:
    """Label values over the limit go into ``other``, and each is counted."""
    telemetry = Telemetry(TANKS)
    poured = ObservableValues(telemetry[POURED])
    for tank in ("a", "b", "c", "d"):
        poured.add(1, tank)
    overflow = ("agentos_telemetry_overflow_total", (("label", "tank"), ("metric", "poured_total")))
    assert above_zero(telemetry) == {
        ("poured_total", (("tank", "a"),)): 1.0,
        ("poured_total", (("tank", "b"),)): 1.0,
        ("poured_total", (("tank", "other"),)): 2.0,
        overflow: 2.0,
    }


def test_failure_counters_appear_with_their_first_failure() -> None:
    """Counters of failures have no series at 0, so that an alert on them is silent until something fails."""
    telemetry = Telemetry(CATALOGUE)
    assert not [name for name, _ in read(telemetry) if name.startswith("agentos_telemetry")]
    telemetry.diagnostics.count("agentos.telemetry.clashes", "some_metric")
    assert above_zero(telemetry) == {("agentos_telemetry_clashes_total", (("metric", "some_metric"),)): 1.0}


def test_descriptive_metrics_are_shown_where_the_catalogue_has_them() -> None:
    """A scrape shows the series of each metric, and the time and size of the scrape before it."""
    telemetry = Telemetry(Catalogue([*CATALOGUE, *telemetry_metrics.DESCRIPTIVE]))
    for status in ("success", "error"):
        telemetry[REQUESTS].labels("north", "pay", status).inc()
    first = telemetry.reader.expose().body
    shown = read(telemetry)
    assert shown["agentos_telemetry_series", (("metric", "shop_requests_total"),)] == 2.0
    assert shown["agentos_telemetry_scrape_size_bytes", ()] == len(first)
    assert shown["agentos_telemetry_scrape_duration_seconds", ()] > 0.0


@pytest.mark.parametrize("strict", [True, False])
def test_failing_view_never_reaches_the_measured_code(strict: bool) -> None:
    """A View that fails costs its own metrics: measurements are counted as dropped, and nothing is raised."""
    broken = FailingAggregation()
    provider = MeterProvider(
        [InMemoryMetricReader()], views=[View(instrument_name="shop.*", aggregation=broken)], shutdown_on_exit=False
    )
    telemetry = Telemetry(CATALOGUE, meter_provider=provider, strict=strict)
    with RequestTimer(telemetry[DURATION], shop="north", operation="pay"):
        telemetry[REQUESTS].labels(**LABELS).inc()
    telemetry[REQUESTS].add(1, LABELS)
    assert broken.made > 0
    dropped = telemetry.diagnostics.values("agentos.telemetry.dropped")
    assert dropped == {("shop_requests_total", "failed"): 2, ("shop_request_duration_seconds", "failed"): 1}
    provider.shutdown()
