"""Exemplars: which samples have them, how long they are shown, and their labels."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import (
    AlignedHistogramBucketExemplarReservoir,
    AlwaysOnExemplarFilter,
    MeterProvider,
    SimpleFixedSizeExemplarReservoir,
)
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation, View
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Exemplar

from telemetry._sdk.reservoir import LatestExemplarReservoir
from telemetry.exposition import PrometheusReader
from telemetry.exposition.exemplars import exemplar_labels
from telemetry.metricdata.stream import ExemplarPoint
from tests.helpers.providers import OPENMETRICS, families, provider, span, text

RESERVOIRS = [None, AlignedHistogramBucketExemplarReservoir, LatestExemplarReservoir]


def shown(reader: PrometheusReader) -> dict[str, Exemplar]:
    """Sample name and ``le`` -> exemplar."""
    parsed = families(text(reader, OPENMETRICS), openmetrics=True)
    return {
        sample.name + sample.labels.get("le", ""): sample.exemplar
        for metric in parsed
        for sample in metric.samples
        if sample.exemplar
    }


def traces(reader: PrometheusReader) -> dict[str, int]:
    """Sample -> number of the span that its exemplar names."""
    return {name: int(exemplar.labels["trace_id"], 16) for name, exemplar in shown(reader).items()}


def view(reservoir: type | None, bounds: Sequence[float] = (1, 2)) -> View:
    """Buckets, and a reservoir for them."""
    factory = None if reservoir is None else lambda _: reservoir
    return View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation(bounds), exemplar_reservoir_factory=factory)


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "public"])
@pytest.mark.parametrize("reservoir", RESERVOIRS, ids=lambda r: getattr(r, "__name__", "default"))
def test_an_exemplar_stays_until_a_newer_one(reservoir: type | None, direct: bool) -> None:
    """Every scrape shows a bucket's exemplar until a newer one replaces it, also after other collects."""
    meters, reader = provider(views=[view(reservoir)], direct=direct)
    histogram = meters.get_meter("m").create_histogram("h")
    for value, number in ((0.5, 1), (1, 2), (5, 3)):
        with trace.use_span(span(number)):
            histogram.record(value)
    first = {"h_bucket1.0": 2, "h_bucket+Inf": 3}
    assert (traces(reader), traces(reader)) == (first, first)
    text(reader)
    reader.collect()
    assert traces(reader) == first
    with trace.use_span(span(4)):
        histogram.record(6)
    assert (traces(reader), traces(reader)) == ({**first, "h_bucket+Inf": 4}, {**first, "h_bucket+Inf": 4})
    meters.force_flush()
    with trace.use_span(span(5)):
        histogram.record(1.5)
    assert traces(reader) == {"h_bucket1.0": 2, "h_bucket2.0": 5, "h_bucket+Inf": 4}


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "public"])
def test_counter(direct: bool) -> None:
    """A counter shows the newest exemplar that a scrape found; gauges have none."""
    meters, reader = provider(direct=direct)
    counter = meters.get_meter("m").create_counter("c")
    gauge = meters.get_meter("m").create_gauge("g")
    for number in range(1, 30):
        with trace.use_span(span(number)):
            counter.add(1)
            gauge.set(1)
        assert traces(reader) == {"c_total": number}
    assert traces(reader) == {"c_total": 29}


def test_value_and_time() -> None:
    """An exemplar has its own value and its own time, to the nanosecond, and lies in its bucket."""
    meters, reader = provider(views=[view(None)])
    histogram = meters.get_meter("m").create_histogram("h")
    with trace.use_span(span(0xABC)):
        histogram.record(1.25)
    first = shown(reader)
    with trace.use_span(span(1)):
        histogram.record(7)
    assert shown(reader)["h_bucket2.0"] == first["h_bucket2.0"]
    assert first["h_bucket2.0"].value == 1.25
    assert first["h_bucket2.0"].labels == {"trace_id": f"{0xABC:032x}", "span_id": f"{0xABC:016x}"}
    line = next(line for line in text(reader, OPENMETRICS).splitlines() if 'le="2.0"' in line)
    data = reader.state()
    assert data is not None
    nano = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].exemplars[0].time_unix_nano
    assert line.endswith(f"}} 1.25 {nano // 10**9}.{nano % 10**9:09d}")


def test_no_exemplars_in_text_or_when_off() -> None:
    """Text 0.0.4 has no exemplars, and ``exemplars=False`` shows none."""
    for options, accept in (({}, None), ({"exemplars": False}, OPENMETRICS)):
        meters, reader = provider(**options)
        with trace.use_span(span(1)):
            meters.get_meter("m").create_counter("c").add(1)
        assert " # {" not in text(reader, accept)


def test_filtered_attributes() -> None:
    """Attributes that a View removes from the series are on the exemplar."""
    for reservoir in RESERVOIRS:
        factory = None if reservoir is None else lambda _, kind=reservoir: kind
        meters, reader = provider(views=[View(instrument_name="h", attribute_keys={"a"}, exemplar_reservoir_factory=factory)])
        histogram = meters.get_meter("m").create_histogram("h", explicit_bucket_boundaries_advisory=[1])
        with trace.use_span(span(1)):
            histogram.record(1, {"a": "x", "user.id": 7})
        assert shown(reader)["h_bucket1.0"].labels["user_id"] == "7"


def test_the_limit() -> None:
    """An exemplar has attributes as long as all keys and values have at most 128 characters together."""
    point = ExemplarPoint(1, 1, 1, 1, {"a": "x" * 60, "b": "é" * 70, "c.d": "12", "trace_id": "no"})
    labels = exemplar_labels(point)
    assert [key for key, _ in labels] == ["trace_id", "span_id", "a", "c_d"][: len(labels)]
    assert sum(len(key) + len(value) for key, value in labels) == 63 + 61


def test_exactly_at_the_limit() -> None:
    """A set of exactly 128 characters is complete, one more character leaves the attribute out."""
    for length, expected in ((64, 3), (65, 2)):
        assert len(exemplar_labels(ExemplarPoint(1, 1, 1, 1, {"a": "x" * length}))) == expected


def test_without_a_span() -> None:
    """An exemplar outside of any span has empty labels, which OpenMetrics allows."""
    reader = PrometheusReader(registry=CollectorRegistry(), scope_info_enabled=False, disable_target_info=True)
    meters = MeterProvider([reader], exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False)
    meters.get_meter("m").create_counter("c").add(2)
    assert shown(reader)["c_total"].labels == {}


def test_exponential_buckets_get_theirs() -> None:
    """Each exemplar of an exponential histogram is within the bucket that shows it, also after rescaling."""
    aggregation = ExponentialBucketHistogramAggregation(max_size=8)
    meters, reader = provider(views=[View(instrument_name="h", aggregation=aggregation)])
    histogram = meters.get_meter("m").create_histogram("h")
    for number, value in enumerate((1.5, 1.6, 3, 200), 1):
        with trace.use_span(span(number)):
            histogram.record(value)
        found = {name.removeprefix("h_bucket"): exemplar for name, exemplar in shown(reader).items()}
        assert found
        bounds = sorted(
            float(sample.labels["le"])
            for metric in families(text(reader, OPENMETRICS), openmetrics=True)
            for sample in metric.samples
            if sample.name == "h_bucket"
        )
        for le, exemplar in found.items():
            below = [bound for bound in bounds if bound < float(le)]
            assert (below[-1] if below else 0) < exemplar.value <= float(le)
    assert 200 in [exemplar.value for exemplar in shown(reader).values()]


def test_exponential_exemplars_keep_what_the_view_drops() -> None:
    """An exemplar of an exponential histogram shows the attributes that the View leaves out, in later scrapes too."""
    aggregation = ExponentialBucketHistogramAggregation()
    meters, reader = provider(views=[View(instrument_name="h", aggregation=aggregation, attribute_keys={"kept"})])
    with trace.use_span(span(1)):
        meters.get_meter("m").create_histogram("h").record(1, {"kept": "a", "dropped": "b"})
    wanted = {"trace_id": f"{1:032x}", "span_id": f"{1:016x}", "dropped": "b"}
    for _ in range(2):
        assert [exemplar.labels for exemplar in shown(reader).values()] == [wanted]


def test_a_reservoir_of_ones_own() -> None:
    """A reservoir of another type is read by its public collect; each bucket shows its newest exemplar."""

    class Several(SimpleFixedSizeExemplarReservoir):
        def __init__(self, **_: object) -> None:
            super().__init__(size=10)

    meters, reader = provider(views=[view(Several)])
    histogram = meters.get_meter("m").create_histogram("h")
    for number, value in enumerate((0.1, 0.2, 1.5, 0.3), 1):
        with trace.use_span(span(number)):
            histogram.record(value)
    assert traces(reader) == {"h_bucket1.0": 4, "h_bucket2.0": 3}
    assert traces(reader) == {"h_bucket1.0": 4, "h_bucket2.0": 3}
