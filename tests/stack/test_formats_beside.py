"""Collectors of ``prometheus_client`` beside a reader: Prometheus' own parsers read the same series from each format."""

from __future__ import annotations

import math
from typing import Any

import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    StateSetMetricFamily,
    SummaryMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import BucketSpan, Exemplar, NativeHistogram

from telemetry.exposition import PrometheusReader
from telemetry.metric.naming import Translation
from tests.helpers.expected_series import Format, Sample, shown
from tests.helpers.generated_hosts import ESCAPINGS
from tests.helpers.prometheus_parser import PrometheusParser

GAUGE_HISTOGRAM = {"gh_count": "gh_gcount", "gh_sum": "gh_gsum"}
"""Prometheus' protobuf parser names the samples of gauge histograms as those of histograms."""


class Ready(Collector):
    """Collects the families that it is given."""

    def __init__(self, *families: Any) -> None:
        self._families = families

    def collect(self) -> tuple[Any, ...]:
        return self._families


def instruments(registry: CollectorRegistry) -> None:
    """The library's own instruments."""
    counter = Counter("jobs", "Done\njobs", ["a"], registry=registry)
    counter.labels('q"\\\n').inc(3, {"trace_id": "abc"})
    counter.labels("é\r").inc(2**60)
    Counter("sent", "x", unit="bytes", registry=registry).inc(0.1)
    Gauge("nan", "x", registry=registry).set(math.nan)
    Gauge("low", "x", registry=registry).set(-math.inf)
    Summary("s", "x", registry=registry).observe(3)
    for name, buckets in (("wait", (0.5, 1, 1e6)), ("change", (-1, 0.5, 1))):
        histogram = Histogram(name, "x", ["l"], buckets=buckets, registry=registry).labels("x")
        histogram.observe(0.7, {"trace_id": "abc"})
        histogram.observe(1e9)
    Info("build", "x", registry=registry).info({"v": "1"})
    prometheus_client.Enum("mode", "x", states=["a", "b"], registry=registry).state("b")


def utf8_names(registry: CollectorRegistry) -> None:
    """Instruments whose names and labels need an escaping."""
    Counter("c.d", "x", ["k.e", "ü"], registry=registry).labels("1", "2").inc()
    Histogram("h.é", "x", ["l.x"], buckets=(1, 2), registry=registry).labels("x").observe(0.7)
    Info("i.i", "x", registry=registry).info({"v.w": "1"})
    prometheus_client.Enum("e.e", "x", states=["a.b", "b"], registry=registry).state("b")
    Summary("s.s", "x", registry=registry).observe(3)
    Gauge('g"q\\n', "x", registry=registry).set(1)


def families(registry: CollectorRegistry) -> None:
    """What only collectors make: quantiles, states, unknown types, times, starts and exemplars of any kind."""
    summary = SummaryMetricFamily("quantiles", "x", labels=["a"])
    summary.add_metric(["x"], count_value=3, sum_value=4.5)
    summary.add_sample("quantiles", {"a": "x", "quantile": "0.5"}, 1.25)
    summary.add_sample("quantiles", {"a": "x", "quantile": "0.9"}, math.nan)
    timed = GaugeMetricFamily("timed", "x", labels=["a", "b"])
    timed.add_metric(["x", ""], 5, timestamp=1_700_000_000.125)
    timed.add_metric(["", "y"], 6)
    counter = CounterMetricFamily("begun", "x", labels=["a"])
    counter.add_metric(["x"], 5, created=1_600_000_000.25, exemplar=Exemplar({"a": "b"}, 2.0, 1_700_000_000.5))
    histogram = HistogramMetricFamily("h", "x")
    histogram.add_metric([], [("1", 1, Exemplar({"t": "1"}, 0.5, 1_700_000_000.5)), ("+Inf", 3)], 9)
    registry.register(
        Ready(
            *(summary, timed, counter, histogram),
            GaugeHistogramMetricFamily("gh", "x", buckets=[("1.0", 2), ("+Inf", 5)], gsum_value=-3),
            UnknownMetricFamily("unknown", "x", value=4),
            StateSetMetricFamily("state", "x", value={"on": True, "off": False}),
            GaugeMetricFamily("empty", "no samples", labels=["a"]),
        )
    )


def native(registry: CollectorRegistry) -> None:
    """Native histograms with and without classic buckets, and an empty one."""
    alone = HistogramMetricFamily("alone", "x", labels=["a"])
    positive, negative = [BucketSpan(-2, 2), BucketSpan(1, 1)], [BucketSpan(3, 1)]
    value = NativeHistogram(7, 3.5, 2, 1e-128, 1, pos_spans=positive, pos_deltas=[2, -2, 3], neg_spans=negative, neg_deltas=[1])
    alone.add_sample("alone", {"a": "x"}, 0, native_histogram=value)
    alone.add_sample("alone", {"a": "y"}, 0, native_histogram=NativeHistogram(0, 0, 0, 0.0, 0))
    both = HistogramMetricFamily("both", "x", buckets=[("1.0", 1), ("+Inf", 3)], sum_value=4.5)
    value = NativeHistogram(3, 4.5, 0, 0.0, 0, pos_spans=[BucketSpan(0, 2)], pos_deltas=[1, 1])
    both.add_sample("both", {}, 0, native_histogram=value)
    registry.register(Ready(alone, both))


def read(parser: PrometheusParser, reader: PrometheusReader, format_: Format, escaping: str) -> dict[Any, Sample]:
    """Name and labels -> sample. Left out: what only text 0.0.4 and 1.0.0 show as series (``_created``)."""
    body, content_type = reader.expose(f"{format_.value};escaping={escaping}")
    found = shown(parser.parse(body, content_type, classic=True), format_).samples
    return {
        (GAUGE_HISTOGRAM.get(name, name), labels): sample
        for (name, labels), sample in found.items()
        if format_.exemplars or not name.endswith("_created")
    }


def is_native(sample: Sample) -> bool:
    """Whether the value is a native histogram, which the older formats have not."""
    return not isinstance(sample.value, (float, str))


@pytest.mark.parametrize("escaping", ESCAPINGS)
@pytest.mark.parametrize("translation", [Translation.UNDERSCORES, Translation.UTF8])
@pytest.mark.parametrize("fill", [instruments, utf8_names, families, native], ids=lambda fill: fill.__name__)
def test_the_formats_agree(prometheus_parser: PrometheusParser, fill: Any, translation: Translation, escaping: str) -> None:
    """Each format has the same series with the same values; the two newest also the same starts."""
    beside = CollectorRegistry()
    fill(beside)
    reader = PrometheusReader(registry=CollectorRegistry(), disable_target_info=True, translation=translation, beside=beside)
    MeterProvider([reader], shutdown_on_exit=False)
    bodies = {format_: read(prometheus_parser, reader, format_, escaping) for format_ in Format}
    newest = bodies[Format.PROTOBUF]
    assert newest
    assert {key: (each.value, each.start) for key, each in bodies[Format.OPENMETRICS_2].items()} == {
        key: (each.value, each.start) for key, each in newest.items()
    }
    for format_ in (Format.TEXT, Format.TEXT_1, Format.OPENMETRICS):
        wanted = {key: each.value for key, each in newest.items() if not is_native(each)}
        lacking = {key for key, each in newest.items() if key[0] == "change_sum"}  # its sum is NaN in the newest alone
        assert {key: each.value for key, each in bodies[format_].items()} == {
            key: value for key, value in wanted.items() if key not in lacking
        }
