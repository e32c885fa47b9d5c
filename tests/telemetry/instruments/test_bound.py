"""A bound series records what record() records, whatever readers, Views and filters there are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics._internal.exemplar import exemplar_reservoir
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider

from telemetry import Telemetry
from telemetry._sdk import aggregation
from telemetry._sdk.compatibility import new_view
from telemetry.metric import Catalogue, counter, histogram, open_label, telemetry_metrics, up_down_counter
from telemetry.pipeline import SCOPE
from tests.helpers.catalogue import ACTIVE, CATALOGUE, DURATION, LABELS, REQUESTS
from tests.helpers.providers import HostFactory
from tests.helpers.samples import above_zero, points
from tests.helpers.sdk_versions import adds_readers_later, switches_meters

DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}


def feed(telemetry: Telemetry) -> None:
    """Records a few events of each kind through bound series."""
    duration, requests, active = telemetry[DURATION], telemetry[REQUESTS], telemetry[ACTIVE]
    for seconds in (0.01, 0.3, 7, 700):
        duration.labels(**LABELS).observe(seconds)
    requests.labels(**LABELS).inc()
    requests.labels(**LABELS).inc(2.5)
    active.labels("north").inc(3)
    active.labels("north").dec()


def by_record(telemetry: Telemetry, provider: MeterProvider) -> None:
    """Records the same events through bare OpenTelemetry."""
    meter = provider.get_meter(SCOPE)
    histogram = meter.create_histogram(DURATION.name, DURATION.unit, DURATION.help)
    counter = meter.create_counter(REQUESTS.name, REQUESTS.unit, REQUESTS.help)
    gauge = meter.create_up_down_counter(ACTIVE.name, ACTIVE.unit, ACTIVE.help)
    for seconds in (0.01, 0.3, 7, 700):
        histogram.record(seconds, LABELS)
    counter.add(1, LABELS)
    counter.add(2.5, LABELS)
    gauge.add(3, {"shop": "north"})
    gauge.add(-1, {"shop": "north"})


SETTINGS: dict[str, tuple[Callable[[], list[MetricReader]], list[View], dict[str, Any]]] = {
    "one reader": (lambda: [InMemoryMetricReader()], [], {}),
    "two readers": (lambda: [InMemoryMetricReader(), InMemoryMetricReader()], [], {}),
    "delta beside cumulative": (lambda: [InMemoryMetricReader(), InMemoryMetricReader(DELTA)], [], {}),
    "a second View": (lambda: [InMemoryMetricReader()], [View(instrument_name=DURATION.name, name="again")], {}),
    "a View with fewer keys": (
        lambda: [InMemoryMetricReader()],
        [View(instrument_name="shop.*", attribute_keys={"shop"})],
        {"exemplar_filter": AlwaysOnExemplarFilter()},
    ),
    "an exponential View": (
        lambda: [InMemoryMetricReader()],
        [View(instrument_name=DURATION.name, name="exp", aggregation=ExponentialBucketHistogramAggregation())],
        {},
    ),
    "a View that drops": (
        lambda: [InMemoryMetricReader()],
        [View(instrument_name=DURATION.name, aggregation=DropAggregation())],
        {},
    ),
    "exemplars always": (lambda: [InMemoryMetricReader()], [], {"exemplar_filter": AlwaysOnExemplarFilter()}),
    "exemplars never": (lambda: [InMemoryMetricReader()], [], {"exemplar_filter": AlwaysOffExemplarFilter()}),
    "a limit of the SDK's": (
        lambda: [InMemoryMetricReader()],
        [new_view(instrument_name=REQUESTS.name, name="small", aggregation_cardinality_limit=1)],
        {},
    ),
}


@pytest.mark.filterwarnings("ignore:.*conflicting")
@pytest.mark.parametrize("setting", SETTINGS)
def test_bound_series_equals_record(setting: str, way: str, host: HostFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reader collects the same from a bound series as from ``record()``, at the first collect and at the second."""
    monkeypatch.setattr(exemplar_reservoir, "randrange", lambda *_: 0)  # the SDK's own reservoir of sums keeps one at random
    make, more, options = SETTINGS[setting]
    ours, theirs = make(), make()
    telemetry, _ = host(*ours, more=more, **options)
    other, provider = host(*theirs, more=more, **options)
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s"):
        for _ in range(2):
            feed(telemetry)
            by_record(other, provider)
            for mine, peer in zip(ours, theirs, strict=True):
                got = [p for p in points(mine) if p[0].startswith(("shop", "again", "exp", "small"))]
                assert got == points(peer)
                assert got


def test_readers_share_the_lock_of_a_histogram_series(host: HostFactory) -> None:
    """The aggregations of one series in several readers have one lock; another series has its own."""
    telemetry, _ = host(InMemoryMetricReader(), InMemoryMetricReader(), InMemoryMetricReader(DELTA))
    instrument = telemetry[DURATION].source.instrument
    for labels in (LABELS, LABELS | {"shop": "south"}):
        telemetry[DURATION].labels(**labels).observe(1)
    locks = [
        [id(aggregation._lock) for aggregation in match._attributes_aggregation.values()]
        for storage in instrument._measurement_consumer._reader_storages.values()
        for match in storage._instrument_view_instrument_matches[instrument]
    ]
    assert locks[0] == locks[1] == locks[2]
    assert len(set(locks[0])) == 2


def test_no_exemplar_where_the_caller_wants_none(monkeypatch: pytest.MonkeyPatch, host: HostFactory) -> None:
    """A measurement in a sampled span that the caller leaves without an exemplar has none through ``record()`` either."""
    monkeypatch.setattr(aggregation.InstrumentSource, "aggregations", lambda *_: None)
    reader = InMemoryMetricReader()
    telemetry, _ = host(reader)
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s"):
        telemetry[DURATION].labels(**LABELS).record_with_exemplar(1, None)
    assert [exemplars for name, *_, exemplars in points(reader) if name == DURATION.name] == [()]


@adds_readers_later
def test_reader_added_and_removed_later(way: str, host: HostFactory) -> None:
    """A bound series feeds a reader that is added later, until that reader is removed."""
    first, late = InMemoryMetricReader(), InMemoryMetricReader()
    telemetry, provider = host(first)
    bound = telemetry[REQUESTS].labels(**LABELS)
    bound.inc()
    provider.add_metric_reader(late)
    bound.inc(10)
    assert [p[2] for p in points(late)] == [10]
    provider.remove_metric_reader(late)
    bound.inc(100)
    assert [p[2] for p in points(first)] == [111]


@switches_meters
def test_disabled_meter_records_nothing(way: str, host: HostFactory) -> None:
    """A meter that the SDK's configurator disables records nothing until it is enabled again."""
    reader = InMemoryMetricReader()
    telemetry, provider = host(reader)
    bound = telemetry[REQUESTS].labels(**LABELS)
    bound.inc()
    enabled = type(provider._apply_meter_configurator(None))  # type: ignore[arg-type]  # only its type is wanted
    provider._set_meter_configurator(meter_configurator=lambda _: enabled(is_enabled=False))
    bound.inc(10)
    provider._set_meter_configurator(meter_configurator=lambda _: enabled(is_enabled=True))
    bound.inc(100)
    assert [p[2] for p in points(reader)] == [101]


def test_disabled_sdk_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``OTEL_SDK_DISABLED`` every call works and records nothing."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = Telemetry(CATALOGUE)
    feed(telemetry)
    assert above_zero(telemetry) == {}


@pytest.mark.parametrize(("name", "value"), [("trace_based", 5), ("always_off", None), ("always_on", 7)])
def test_exemplar_filter_of_the_environment(
    name: str, value: int | None, way: str, monkeypatch: pytest.MonkeyPatch, host: HostFactory
) -> None:
    """``OTEL_METRICS_EXEMPLAR_FILTER`` decides for bound series as for ``record()``: in a sampled span, never, or always."""
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", name)
    reader = InMemoryMetricReader()
    telemetry, _ = host(reader)
    with telemetry.tracer.start_as_current_span("s") as span:
        telemetry[REQUESTS].labels(**LABELS).inc(5)
    telemetry[REQUESTS].labels(**LABELS).inc(7)
    exemplars = [e for p in points(reader) for e in p[3]]
    trace_id = span.get_span_context().trace_id if value == 5 else None
    assert exemplars == ([] if value is None else [(value, trace_id, {})])


def test_recording_after_shutdown_raises_nothing(way: str) -> None:
    """Recording into a provider that is shut down raises nothing."""
    telemetry = Telemetry(CATALOGUE)
    bound = telemetry[DURATION].labels(**LABELS)
    bound.observe(1)
    telemetry.shutdown()
    telemetry.shutdown()
    bound.observe(1)
    telemetry[REQUESTS].labels(**LABELS).inc()


@pytest.mark.parametrize(
    ("value", "reason"), [(nan, "not_finite"), (inf, "not_finite"), (-inf, "not_finite"), (-0.1, "negative"), ("x", "failed")]
)
def test_refused_values_are_counted(value: Any, reason: str, way: str, caplog: pytest.LogCaptureFixture) -> None:
    """NaN, infinite, negative and non-numeric values are dropped: counted each time, logged once."""
    telemetry = Telemetry(CATALOGUE)
    with caplog.at_level(logging.WARNING, "telemetry"):
        for _ in range(2):
            telemetry[DURATION].labels(**LABELS).observe(value)
    dropped = ("agentos_telemetry_dropped_total", (("metric", "shop_request_duration_seconds"), ("reason", reason)))
    assert above_zero(telemetry) == {dropped: 2.0}
    assert len(caplog.records) == 1


def test_decimal_is_recorded_as_a_float() -> None:
    """A ``Decimal`` does not change the type of the sum."""
    telemetry = Telemetry(CATALOGUE)
    telemetry[DURATION].labels(**LABELS).observe(0.5)
    telemetry[DURATION].labels(**LABELS).observe(Decimal("0.25"))  # type: ignore[arg-type]  # what a caller may do
    sums = [v for (name, _), v in above_zero(telemetry).items() if name.endswith("_sum")]
    assert sums == [0.75]


def test_gauge_goes_below_zero_and_refuses_set() -> None:
    """An up-down counter goes below zero; ``set()`` raises an error that names ``inc()`` and ``dec()``."""
    telemetry = Telemetry(CATALOGUE)
    telemetry[ACTIVE].labels("north").dec(2)
    assert above_zero(telemetry) == {("shop_active_requests", (("shop", "north"),)): -2.0}
    with pytest.raises(TypeError, match="use inc\\(\\) and dec\\(\\)"):
        telemetry[ACTIVE].labels("north").set(1)
    with pytest.raises(TypeError, match="up-down counter"):
        telemetry[ACTIVE].set(1)


@adds_readers_later
def test_measurement_during_rebinding_reaches_all_readers(host: HostFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread binds a series to a new set of readers, the measurement of another thread reaches all of them."""
    late = InMemoryMetricReader()
    telemetry, provider = host(InMemoryMetricReader())
    bound = telemetry[REQUESTS].labels(**LABELS)
    bound.inc()
    provider.add_metric_reader(late)
    find = aggregation.InstrumentSource.aggregations

    def interrupted(source: aggregation.InstrumentSource, attributes: Any) -> Any:
        monkeypatch.setattr(aggregation.InstrumentSource, "aggregations", find)
        bound.inc(10)  # the other thread
        return find(source, attributes)

    monkeypatch.setattr(aggregation.InstrumentSource, "aggregations", interrupted)
    bound.inc(100)
    assert [p[2] for p in points(late)] == [110]


def test_bound_series_equals_record_after_shutdown(way: str, host: HostFactory) -> None:
    """The state of a provider that was shut down is the same from a bound series as from ``record()``."""
    ours, theirs = InMemoryMetricReader(), InMemoryMetricReader()
    telemetry, provider = host(ours)
    _, other = host(theirs)
    histogram = other.get_meter(SCOPE).create_histogram(DURATION.name, DURATION.unit, DURATION.help)
    bound = telemetry[DURATION].labels(**LABELS)
    for seconds in (0.2, 3):
        bound.observe(seconds)
        histogram.record(seconds, LABELS)
        provider.shutdown()
        other.shutdown()
    # Both readers refuse to collect after the shutdown: what was kept is asked of the provider's own storage.
    states = [
        [
            (kept._value, kept._sum, kept._attributes)
            for storage in meters._measurement_consumer._reader_storages.values()
            for matches in storage._instrument_view_instrument_matches.values()
            for match in matches
            for kept in match._attributes_aggregation.values()
        ]
        for meters in (provider, other)
    ]
    assert states[0] == states[1] == [([0, 0, 0, 1, 0, 0, 0, 1, 0, 0], 3.2, LABELS)]


WHO = open_label("who", "w", limit=1)
HITS, LEVEL = counter("hits", "", "h", WHO), up_down_counter("level", "", "l", WHO)
TOOK = histogram("took", "s", "t", WHO, bounds=(1,))
LIST = Catalogue([HITS, LEVEL, TOOK, *telemetry_metrics.TELEMETRY])


def full() -> Telemetry:
    """Returns a telemetry that has admitted all values of ``who`` that it can."""
    telemetry = Telemetry(LIST)
    for metric in (HITS, LEVEL, TOOK):
        telemetry[metric].labels("first")
    return telemetry


def overflow(telemetry: Telemetry) -> dict[str, float]:
    """Returns how many measurements of each metric went into ``other``."""
    found = above_zero(telemetry, "agentos_telemetry_overflow_total")
    return {dict(labels)["metric"]: value for (_, labels), value in found.items()}


def test_each_measurement_over_the_limit_is_counted() -> None:
    """A series over the limit counts each measurement; looking the series up counts nothing."""
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


def test_add_and_record_over_the_limit_are_counted() -> None:
    """``add()`` and ``record()`` count a measurement over the limit, with a context and without."""
    telemetry = full()
    telemetry[HITS].add(1, {"who": "second"})
    telemetry[TOOK].record(1, {"who": "third"}, Context())
    assert overflow(telemetry) == {"hits_total": 1.0, "took_seconds": 1.0}


@pytest.mark.parametrize("value", [nan, -1, "x"])
def test_dropped_measurement_is_no_overflow(value: Any) -> None:
    """A measurement that is not recorded is counted as dropped only."""
    telemetry = full()
    telemetry[TOOK].labels("second").observe(value)
    telemetry[TOOK].record(value, {"who": "second"}, Context())
    assert overflow(telemetry) == {}
    assert sum(above_zero(telemetry, "agentos_telemetry_dropped_total").values()) == 2.0


def test_literal_other_is_no_overflow() -> None:
    """The label values ``other`` and ``invalid`` name their series and count as no problem."""
    telemetry = full()
    for value in ("other", "invalid"):
        telemetry[HITS].labels(value).inc()
    assert above_zero(telemetry) == {("hits_total", (("who", "other"),)): 1.0, ("hits_total", (("who", "invalid"),)): 1.0}
