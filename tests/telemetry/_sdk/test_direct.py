"""The direct path, the public path and prometheus_client's registry show the same."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.view import DropAggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from telemetry.exposition import DeltaError, PrometheusReader
from telemetry.metricdata.convert import MetricsDataConverter
from tests.helpers.providers import OPENMETRICS, RESOURCE, families, provider, samples, span, text
from tests.helpers.sdk_versions import keeps_gauges

VIEWS = [
    View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation(max_size=10)),
    View(instrument_name="dropped", aggregation=DropAggregation()),
    View(instrument_name="oc", attribute_keys={"k"}),
]


def two_paths(**options: Any) -> tuple[MeterProvider, PrometheusReader, PrometheusReader]:
    """Returns a provider with a direct and a public reader, and the readers."""
    readers = [PrometheusReader(registry=CollectorRegistry(), direct=direct, **options) for direct in (True, False)]
    return MeterProvider(readers, RESOURCE, shutdown_on_exit=False, views=VIEWS), readers[0], readers[1]


def record(meters: MeterProvider, round_: int) -> None:
    """Records measurements of every kind of instrument."""
    for scope in ("one", "two"):
        meter = meters.get_meter(scope, "1")
        for i in range(round_ + 1):
            with trace.use_span(span(round_ * 100 + i + 1)):
                meter.create_counter("c", "s", "C").add(0.1 * i, {"k": str(i)})
                meter.create_histogram("h", "By").record(37.5 * i, {"k": str(i), "n": i})
                meter.create_histogram("e").record(3.3**i, {"k": "x"})
            meter.create_up_down_counter("u").add(-i)
            meter.create_gauge("g").set(i / 3)
            meter.create_counter("dropped").add(1)
    meters.get_meter("three").create_histogram("late").record(1)


def observe(_: CallbackOptions) -> list[Observation]:
    """Returns three observations, of which a View makes two series."""
    return [Observation(2, {"k": "a", "x": 1}), Observation(3, {"k": "a", "x": 2}), Observation(5, {"k": "b"})]


@keeps_gauges
def test_direct_equals_public() -> None:
    """Both paths give the same body, byte for byte, over several scrapes with other collects in between."""
    meters, direct, public = two_paths()
    meters.get_meter("one", "1").create_observable_gauge("og", [observe])
    for round_ in range(4):
        record(meters, round_)
        for accept in (None, OPENMETRICS):
            assert text(direct, accept) == text(public, accept)
        direct.collect()
        public.collect()


def test_direct_equals_public_for_observables() -> None:
    """Views sum and filter observable counters as on the public path."""
    meters, direct, public = two_paths()
    meter = meters.get_meter("m")
    meter.create_observable_counter("oc", [observe])
    meter.create_observable_up_down_counter("ou", [observe, observe])
    assert text(direct) == text(public)
    assert 'oc_total{k="a",otel_scope_name="m",otel_scope_schema_url="",otel_scope_version=""} 5\n' in text(direct)


def test_series_that_its_callback_omits() -> None:
    """A series is in a scrape exactly when its callback reports it."""
    there = [True]
    meters, direct, public = two_paths(disable_target_info=True, scope_info_enabled=False)
    meters.get_meter("m").create_observable_gauge("g", [lambda _: [Observation(1)] if there[0] else []])
    seen = []
    for there[0] in (True, False, True):
        seen.append((text(direct), text(public)))
    assert seen == [("# TYPE g gauge\ng 1\n",) * 2, ("", ""), ("# TYPE g gauge\ng 1\n",) * 2]


@keeps_gauges
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "public"])
def test_registry_agrees(direct: bool) -> None:
    """prometheus_client's ``generate_latest`` shows the same samples, types, helps and units."""
    registry = CollectorRegistry()
    meters, reader = provider(
        views=VIEWS, registry=registry, direct=direct, info=["agentos.info"], disable_target_info=False, scope_info_enabled=True
    )
    meters.get_meter("m").create_observable_gauge(
        "agentos.info", [lambda _: [Observation(1, {"v": '"1"'})]], description="a\nb"
    )
    for round_ in range(3):
        record(meters, round_)
        ours = families(text(reader), openmetrics=False)
        theirs = families(generate_latest(registry).decode(), openmetrics=False)
        assert samples(ours) == samples(theirs)
        assert [(m.name, m.type) for m in ours] == [(m.name, m.type) for m in theirs]
        ours = families(text(reader, OPENMETRICS), openmetrics=True)
        theirs = families(generate_openmetrics(registry).decode(), openmetrics=True)
        assert ours == theirs


def test_unexpected_sdk_is_read_on_the_public_path(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK is not as expected, the reader logs it once and takes the public path in the same scrape."""
    meters, reader = provider()
    meters.get_meter("m").create_counter("c").add(1)

    def gone(*_: object) -> None:
        raise AttributeError("_previous_value")

    monkeypatch.setattr("telemetry._sdk.live.live_stream", gone)
    monkeypatch.setattr("telemetry._sdk.direct.live_stream", gone)
    with caplog.at_level(logging.WARNING):
        assert {text(reader) for _ in range(3)} == {"# TYPE c_total counter\nc_total 1\n"}
    assert [record.getMessage() for record in caplog.records] == [
        "the SDK's state cannot be read directly, scrapes cost more: AttributeError: _previous_value"
    ]


@pytest.mark.parametrize(("name", "first"), [("_read_sums", None), ("_read_histograms", None), ("peek", OPENMETRICS)])
def test_unexpected_sdk_that_is_noticed_while_encoding(
    name: str, first: str | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a state is not as expected while the body is written, the public path serves the same scrape."""
    meters, direct, public = two_paths()
    record(meters, 1)

    def gone(*_: object) -> None:
        raise AttributeError("_previous_value")

    monkeypatch.setattr(f"telemetry._sdk.live.{name}", gone)
    with caplog.at_level(logging.WARNING):
        for accept in (first, None, OPENMETRICS):
            assert text(direct, accept) == text(public, accept)
    ours = [record.getMessage() for record in caplog.records if record.name == "telemetry.exposition"]
    assert ours == ["the SDK's state cannot be read directly, scrapes cost more: AttributeError: _previous_value"]


def test_delta_is_refused() -> None:
    """A point with delta temporality raises an error that names the metric."""
    point = NumberDataPoint({}, 1, 2, 3)
    metric = Metric("c", "", "", Sum([point], AggregationTemporality.DELTA, True))
    data = MetricsData([ResourceMetrics(RESOURCE, [ScopeMetrics(InstrumentationScope("m"), [metric], "")], "")])
    with pytest.raises(DeltaError, match="c has delta temporality; a Prometheus reader needs cumulative points"):
        MetricsDataConverter().update(data)


def test_older_data_are_ignored() -> None:
    """Data older than the last change nothing, so that no counter falls."""
    points = MetricsDataConverter()
    for time, total in ((20, 5), (10, 3)):
        point = HistogramDataPoint({}, 1, time, total, total, [total], [], 0, 9)
        metric = Metric("h", "", "", Histogram([point], AggregationTemporality.CUMULATIVE))
        data = MetricsData([ResourceMetrics(RESOURCE, [ScopeMetrics(InstrumentationScope("m"), [metric], "")], "")])
        streams = points.update(data)
        assert streams[0].values == [([5], 5)]


def test_zero_after_a_scrape_keeps_the_resolution() -> None:
    """Reading an exponential histogram of the SDK leaves it as it is: its scale stays when a zero comes next."""
    meters, reader = provider(views=VIEWS)
    histogram = meters.get_meter("m").create_histogram("e")
    for value in (0, 1.5, 0, 1.6):
        histogram.record(value)
        before = text(reader)
    assert 'e_bucket{le="0.0"} 2\n' in before
    bounds = [float(line.split('"')[1]) for line in before.splitlines() if line.startswith("e_bucket")]
    assert any(1.5 < bound < 1.6 for bound in bounds)
