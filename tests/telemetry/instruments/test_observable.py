"""Instruments whose values are read at each collect, and what the telemetry shows about itself."""

from __future__ import annotations

from decimal import Decimal, localcontext
from math import nan
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View

from telemetry import Catalogue, RequestTimer, Telemetry
from telemetry.instruments.decimals import ObservableValues
from telemetry.metric import (
    Metric,
    MultiprocessMode,
    closed_label,
    observable_counter,
    observable_gauge,
    open_label,
    telemetry_metrics,
)
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


def test_kept_sum_is_exact_in_any_context_of_the_caller() -> None:
    """A caller whose decimal context keeps two digits adds 1000.01 and 0.005 to 1000.015."""
    telemetry = Telemetry(TANKS, strict=True)
    poured = ObservableValues(telemetry[POURED])
    with localcontext(prec=2):
        for amount in ("1000.01", "0.005"):
            poured.add(Decimal(amount), "a")
    assert read(telemetry) == {("poured_total", (("tank", "a"),)): 1000.015}


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


PLAIN = observable_gauge("plain", "", "Plain")
PAIR = observable_gauge("pair", "", "Pair", TANK, closed_label("side", "s", "left", "right"))
WATCHED = Catalogue([LEVEL, POURED, PLAIN, PAIR, *telemetry_metrics.TELEMETRY])


def test_callback_returns_a_number_or_a_mapping() -> None:
    """A number without labels, a mapping by value with one label, by tuple with more."""
    telemetry = Telemetry(WATCHED, strict=True)
    telemetry[PLAIN].watch(lambda: 3)
    telemetry[LEVEL].watch(lambda: {"a": 1})
    telemetry[PAIR].watch(lambda: {("a", "left"): Decimal("2.5")})
    assert read(telemetry) == {
        ("plain", ()): 3.0,
        ("level", (("tank", "a"),)): 1.0,
        ("pair", (("side", "left"), ("tank", "a"))): 2.5,
    }


@pytest.mark.parametrize(
    ("metric", "returned", "wanted"),
    [
        (PLAIN, {"a": 1}, "a callback returns a number, this one returned {'a': 1}"),
        (PLAIN, "3", "a callback returns a number, this one returned '3'"),
        (LEVEL, 3, "a callback returns a mapping of numbers by tank, this one returned"),
        (PAIR, {"a": 1}, "a callback returns a mapping of numbers by tuples (tank, side), this one returned {'a': 1}"),
    ],
)
def test_wrong_shape_says_what_is_wanted(metric: Metric, returned: Any, wanted: str, caplog: pytest.LogCaptureFixture) -> None:
    """The value is dropped and counted; the log says once what the callback returns."""
    telemetry = Telemetry(WATCHED)
    telemetry[metric].watch(lambda: returned)
    for _ in range(2):
        read(telemetry)
    assert telemetry.diagnostics.values(telemetry_metrics.DROPPED.name) == {(metric.prometheus_name, "failed"): 2}
    (record,) = caplog.records
    assert wanted in record.getMessage().replace("\\'", "'")


def test_wrong_shape_fails_the_callback_in_strict() -> None:
    """A strict telemetry counts it as a callback that raised."""
    telemetry = Telemetry(WATCHED, strict=True)
    telemetry[LEVEL].watch(lambda: 3)
    read(telemetry)
    assert telemetry.diagnostics.values(telemetry_metrics.CALLBACK_FAILURES.name) == {("level", "raised"): 1}


@pytest.mark.parametrize("metric", [LEVEL, POURED])
def test_flood_of_label_values_is_summed_in_other(metric: Metric) -> None:
    """Values over the label's limit share one series that has their sum."""
    telemetry = Telemetry(WATCHED)
    telemetry[metric].watch(lambda: {f"t{n}": 1 for n in range(1000)})
    found = {labels[0][1]: value for (name, labels), value in read(telemetry).items() if name == metric.prometheus_name}
    assert found == {"t0": 1.0, "t1": 1.0, "other": 998.0}


def test_value_outside_a_closed_domain_is_invalid() -> None:
    """A callback's label values follow the rules of recorded ones."""
    telemetry = Telemetry(WATCHED)
    telemetry[PAIR].watch(lambda: {("a", "up"): 1})
    assert read(telemetry)["pair", (("side", "invalid"), ("tank", "a"))] == 1.0


@pytest.mark.parametrize(
    ("number", "reason"), [(nan, "not_finite"), (-1, "negative"), (2**63, "not_finite"), (10**400, "not_finite")]
)
def test_number_that_a_counter_cannot_have_is_dropped(number: float, reason: str) -> None:
    """The other values of the callback stay."""
    telemetry = Telemetry(WATCHED)
    telemetry[POURED].watch(lambda: {"a": number, "b": 2})
    found = read(telemetry)
    assert {labels for name, labels in found if name == "poured_total"} == {(("tank", "b"),)}
    assert telemetry.diagnostics.values(telemetry_metrics.DROPPED.name) == {("poured_total", reason): 1}


@pytest.mark.parametrize(
    ("mode", "shown"),
    [(MultiprocessMode.SUM, 4.0), (MultiprocessMode.MAX, 3.0), (MultiprocessMode.MIN, -1.0), (MultiprocessMode.FIRST, 2.0)],
)
def test_callbacks_of_one_series_are_merged_as_workers_are(mode: MultiprocessMode, shown: float) -> None:
    """Callbacks that return 2, -1 and 3 for one series are merged by the row's ``MultiprocessMode``."""
    level = observable_gauge("level", "", "Level", TANK, multiprocess_mode=mode)
    telemetry = Telemetry(Catalogue([level]))
    for value in (2, -1, 3):
        telemetry[level].watch(lambda value=value: {("a",): value})  # type: ignore[misc]  # mypy infers no default's type
    assert read(telemetry) == {("level", (("tank", "a"),)): shown}


def test_failing_callback_leaves_the_others() -> None:
    """The values of a metric's other callbacks are shown, whichever raises."""
    telemetry = Telemetry(WATCHED)
    telemetry[LEVEL].watch(lambda: {"a": 1 // 0})
    telemetry[LEVEL].watch(lambda: {"b": 2})
    assert read(telemetry)["level", (("tank", "b"),)] == 2.0
    assert telemetry.diagnostics.values(telemetry_metrics.CALLBACK_FAILURES.name) == {("level", "raised"): 1}
