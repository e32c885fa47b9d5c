"""A process with each kind of metric, whose values the tests know, and the rules by which Prometheus reads its buckets."""

from __future__ import annotations

from collections import Counter
from math import ceil, exp2, log2
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from telemetry import Telemetry
from telemetry.exposition import PrometheusReader
from telemetry.metric import Catalogue, Native, histogram, open_label

__all__ = ["BOTHS", "LABEL", "SIZES", "WAITS", "Recorded", "buckets", "quantile"]

LABEL = 'quote " slash \\ line\nend ü'
WAITS = (0.25, 0.5, 0.75, 1.0, 1.5, 4.0)
"""Two values in each bucket of the bounds 0.5 and 1."""
SIZES = {
    "wide": (4, (0.0, 0.99, 1.0, 3.0, 8.0, 12.5, 100.0, 101.0)),
    "narrow": (8, (1.0001, 1.0002, 1.0003)),
    "huge": (-4, (1e-100, 2.0, 3.0, 1e300)),
}
"""Values by label, and the finest schema at which 160 buckets hold them."""
BOTH = histogram("both", "s", "Both", open_label("how", "name", limit=2), bounds=(1.0, 8.0), native=Native(max_scale=8))
BOTHS = (4, (0.5, 1.0, 3.0, 8.0, 100.0))
"""The values of each of its two series, ``first`` and ``second``, and the finest schema."""


class Recorded:
    """A provider with a counter ``work.done``, an up-down counter ``level``, and three histograms: ``wait`` has explicit
    buckets, ``size`` exponential ones, ``both`` of a catalogue has both.

    The histograms' measurements and the counter's last one are made in sampled spans.
    """

    def __init__(self) -> None:
        self.reader = PrometheusReader(registry=CollectorRegistry(), scope_info_enabled=False)
        telemetry = Telemetry(Catalogue([BOTH]), meter_provider=self._provider, workers=False)
        meter = self.provider.get_meter("m")
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
        work = meter.create_counter("work.done", "By", "Work done")
        wait = meter.create_histogram("wait", "s", "Wait", explicit_bucket_boundaries_advisory=[0.5, 1])
        size = meter.create_histogram("size", "By", "Size")
        meter.create_up_down_counter("level", description="Level").add(-2)
        work.add(2, {"k": LABEL})
        with tracer.start_as_current_span("call"):
            work.add(3, {"k": LABEL})
        for value in WAITS:
            with tracer.start_as_current_span("call"):
                wait.record(value)
        for how, (_, values) in SIZES.items():
            for value in values:
                with tracer.start_as_current_span("call"):
                    size.record(value, {"how": how})
        for how in ("first", "second"):
            for value in BOTHS[1]:
                with tracer.start_as_current_span("call"):
                    telemetry[BOTH].labels(how).observe(value)
        state = self.reader.state()
        assert state is not None
        self.metrics = [metric for scope in state.resource_metrics[0].scope_metrics for metric in scope.metrics]

    def _provider(self, _readers: list[MetricReader], views: list[View]) -> MeterProvider:
        exponential = View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation())
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False, views=[exponential, *views])
        return self.provider

    def point(self, name: str, **attributes: str) -> Any:
        """Returns the SDK's own data point of an instrument and its attributes."""
        points = next(metric.data.data_points for metric in self.metrics if metric.name == name)
        return next(point for point in points if dict(point.attributes or {}) == attributes)


def buckets(schema: int, values: tuple[float, ...]) -> dict[int, int]:
    """Returns the counts of the values above zero by the index of their bucket.

    https://prometheus.io/docs/specs/native_histograms/#schema
    """
    return Counter(ceil(log2(value) * 2.0**schema) for value in values if value)


def quantile(q: float, schema: int, values: tuple[float, ...]) -> float:
    """Returns a quantile above zero by the rule of ``histogram_quantile``: on a logarithmic scale within its bucket.

    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    rank, below = q * len(values), values.count(0.0)
    for index, count in sorted(buckets(schema, values).items()):
        if below + count >= rank:
            return exp2((index - 1 + (rank - below) / count) / 2.0**schema)
        below += count
    raise ValueError(f"{q} of {values} lies in no bucket")
