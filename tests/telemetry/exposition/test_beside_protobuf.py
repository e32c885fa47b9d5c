"""Families of ``prometheus_client`` in a protobuf body."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.samples import BucketSpan, Exemplar, NativeHistogram, Sample, Timestamp

from telemetry.exposition.beside_protobuf import family_message
from telemetry.metric import telemetry_metrics
from tests.helpers.client_model import PROTOBUF, buckets, decode, nanoseconds, samples
from tests.helpers.providers import provider


def only(metric: Metric) -> Any:
    """Returns the only metric of the family."""
    [family] = decode(family_message(metric))
    [found] = family.metric
    return found


def with_samples(type_: str, *found: Sample) -> Metric:
    """Returns the family ``x`` of these samples."""
    metric = Metric("x", "X", type_)
    metric.samples = list(found)
    return metric


def labels(pairs: Iterable[Any]) -> dict[str, str]:
    """Returns labels as a dictionary."""
    return {pair.name: pair.value for pair in pairs}


def test_counter() -> None:
    """A counter has the name of its samples, its start and its exemplar, exact to the nanosecond."""
    counter = CounterMetricFamily("x_seconds", "X", labels=["k"], unit="seconds")
    mark = Exemplar({"trace_id": "1", "n": "é" * 200}, 0.5, Timestamp(1_520_430_000, 123_456_789))
    counter.add_metric(["v"], 2.5, created=Timestamp(1_520_430_000, 5), exemplar=mark)
    [family] = decode(family_message(counter))
    assert (family.name, family.help, family.type, family.unit) == ("x_seconds_total", "X", 0, "seconds")
    [found] = family.metric
    assert (labels(found.label), found.counter.value) == ({"k": "v"}, 2.5)
    assert nanoseconds(found.counter.created_timestamp) == 1_520_430_000_000_000_005
    assert labels(found.counter.exemplar.label) == {"trace_id": "1", "n": "é" * 200}
    assert (found.counter.exemplar.value, nanoseconds(found.counter.exemplar.timestamp)) == (0.5, 1_520_430_000_123_456_789)


def test_times_of_samples() -> None:
    """A sample's time is in milliseconds; an exemplar without a time has none."""
    counter = with_samples("counter", Sample("x_total", {}, 1.0, 1_520_430_000.123, Exemplar({}, 1.0)))
    assert only(counter).timestamp_ms == 1_520_430_000_123
    assert not only(counter).counter.exemplar.HasField("timestamp")


def test_gauge() -> None:
    """A gauge has its value."""
    gauge = GaugeMetricFamily("x", "X", value=-1.5)
    assert str(only(gauge)) == "gauge {\n  value: -1.5\n}\n"


def test_unknown() -> None:
    """A metric of no known type is untyped."""
    [family] = decode(family_message(UnknownMetricFamily("x", "X", value=3)))
    assert (family.type, family.metric[0].untyped.value) == (3, 3)


def test_summary() -> None:
    """A summary has count, sum, quantiles in rising order, and its start."""
    summary = with_samples(
        "summary",
        *(Sample("x", {"quantile": "0.9"}, 4.0), Sample("x", {"quantile": "0.5"}, math.nan)),
        *(Sample("x_count", {}, 3.0), Sample("x_sum", {}, 7.5), Sample("x_created", {}, 1.5)),
    )
    found = only(summary).summary
    assert (found.sample_count, found.sample_sum, nanoseconds(found.created_timestamp)) == (3, 7.5, 1_500_000_000)
    assert [each.quantile for each in found.quantile] == [0.5, 0.9]
    assert math.isnan(found.quantile[0].value)
    assert found.quantile[1].value == 4


def test_histogram() -> None:
    """A histogram has its buckets without ``+Inf``, unless it has an exemplar."""
    mark = Exemplar({"trace_id": "1"}, 9.0, 2.5)
    histogram = HistogramMetricFamily("x", "X", labels=["k"])
    histogram.add_metric(["a"], [("1.0", 1), ("+Inf", 3)], 7.5)
    histogram.add_metric(["b"], [("1.0", 1), ("+Inf", 3, mark)], 7.5)
    [family] = decode(family_message(histogram))
    first, second = (each.histogram for each in family.metric)
    assert [(b.upper_bound, b.cumulative_count) for b in first.bucket] == [(1, 1)]
    assert [(b.upper_bound, b.cumulative_count) for b in second.bucket] == [(1, 1), (math.inf, 3)]
    assert nanoseconds(second.bucket[1].exemplar.timestamp) == 2_500_000_000
    assert (family.type, first.sample_count, first.sample_sum) == (4, 3, 7.5)


def test_histogram_without_sum() -> None:
    """A histogram of which the library shows no sum, since its values may be negative, has the count of ``+Inf`` and NaN."""
    histogram = HistogramMetricFamily("x", "X", buckets=[("-1.0", 1), ("+Inf", 3)])
    found = only(histogram).histogram
    assert found.sample_count == 3
    assert math.isnan(found.sample_sum)


def test_gauge_histogram() -> None:
    """A gauge histogram has its type; counts that are no whole numbers are floats."""
    [family] = decode(
        family_message(GaugeHistogramMetricFamily("x", "X", buckets=[("1.0", 0.5), ("+Inf", 2.5)], gsum_value=-1))
    )
    found = family.metric[0].histogram
    assert (family.type, found.sample_count_float, found.sample_sum) == (5, 2.5, -1)
    assert [(b.upper_bound, b.cumulative_count_float) for b in found.bucket] == [(1, 0.5)]


def test_native_histogram() -> None:
    """A native histogram has its buckets and exemplars with a time."""
    marks = [Exemplar({"trace_id": "1"}, 2.0, 1.5), Exemplar({}, 3.0)]
    spans = [BucketSpan(1, 2)]
    given = NativeHistogram(6, 9.5, 2, 1e-128, 1, spans, spans, [1, 1], [2, -2], marks)
    found = only(with_samples("histogram", Sample("x", {}, 0.0, None, None, given))).histogram
    assert (found.schema, found.zero_threshold, found.zero_count) == (2, 1e-128, 1)
    assert (found.sample_count, found.sample_sum) == (6, 9.5)
    assert buckets(found.positive_span, found.positive_delta) == {1: 1, 2: 2}
    assert buckets(found.negative_span, found.negative_delta) == {1: 2}
    assert [each.value for each in found.exemplars] == [2.0]


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        (with_samples("counter", Sample("x_count", {}, 1.0)), "a sample x_count that has no place in it"),
        (with_samples("summary", Sample("x_sum", {}, 1.0)), "no sample _count"),
        (with_samples("histogram", Sample("x_sum", {}, 1.0)), "no sample _count and no bucket +Inf"),
        (
            with_samples("summary", Sample("x_count", {}, 1.5), Sample("x_sum", {}, 1.0)),
            "the count 1.5, which is no whole number",
        ),
    ],
    ids=["other sample", "no count", "no bucket", "half a count"],
)
def test_what_makes_no_message(metric: Metric, why: str) -> None:
    """Samples that make no message are refused."""
    with pytest.raises(ValueError, match=re.escape(f"the series {{}} has {why}")):
        family_message(metric)


def test_no_samples() -> None:
    """A family without samples has no message."""
    assert family_message(with_samples("counter")) == b""


def test_registry_beside_a_reader() -> None:
    """All collectors of a registry are shown behind the reader's families, but for a name that is taken."""
    registry = CollectorRegistry()
    meters, reader = provider(beside=registry)
    meters.get_meter("m").create_counter("mine").add(2)
    Counter("theirs", "T", ["k"], registry=registry).labels("v").inc(3)
    Counter("mine", "T", registry=registry).inc(7)
    Gauge("level", "T", registry=registry).set(4)
    Summary("calls", "T", registry=registry).observe(5)
    Histogram("sizes", "T", buckets=(1, 2), registry=registry).observe(2)
    Info("build", "T", registry=registry).info({"version": "1"})
    Enum("state", "T", states=["on", "off"], registry=registry).state("off")
    families = decode(reader.expose(PROTOBUF).body)
    assert [family.name for family in families] == [
        *("mine_total", "theirs_total", "level", "calls", "sizes", "build_info", "state")
    ]
    found = {name: value for (name, _), value in samples([each for each in families if each.name != "calls"]).items()}
    assert found["mine_total"] == 2
    assert found["theirs_total"] == 3
    assert found["sizes_count"] == 1
    assert found["build_info"] == 1
    assert [metric.gauge.value for metric in families[-1].metric] == [0, 1]
    assert families[1].metric[0].counter.HasField("created_timestamp")
    assert reader.diagnostics.values(telemetry_metrics.CLASHES.name) != {}


def test_names() -> None:
    """A family of a registry is shown whole where one of its samples is asked for."""
    registry = CollectorRegistry()
    _, reader = provider(beside=registry)
    Gauge("level", "T", registry=registry).set(4)
    Histogram("sizes", "T", registry=registry).observe(2)
    [family] = decode(reader.expose(PROTOBUF, ["sizes_sum"]).body)
    assert (family.name, len(family.metric[0].histogram.bucket)) == ("sizes", 14)


def test_summary_family() -> None:
    """A summary without quantiles has count and sum."""
    found = only(SummaryMetricFamily("x", "X", count_value=2, sum_value=1.5)).summary
    assert (found.sample_count, found.sample_sum, len(found.quantile)) == (2, 1.5, 0)
