"""Histograms with native buckets over OTLP."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from telemetry import Catalogue, Native, Telemetry
from telemetry.metric import histogram

BOTH = histogram("both", "s", "Both", bounds=(1,), native=Native())
ALONE = histogram("alone", "s", "Alone", native=Native(max_scale=0))


def test_otlp_carries_explicit_buckets_and_an_exponential_histogram() -> None:
    """OTLP gets an explicit histogram of a row with both forms, an exponential one of a row with native buckets alone."""
    pushed = InMemoryMetricReader()
    telemetry = Telemetry(Catalogue([BOTH, ALONE]), metric_readers=[pushed])
    for value in (0, 0.5, 3, 5):
        telemetry[BOTH].observe(value)
        telemetry[ALONE].observe(value)
    data = pushed.get_metrics_data()
    assert data is not None
    metrics = {m.name: m for m in encode_metrics(data).resource_metrics[0].scope_metrics[0].metrics}
    explicit = metrics["both"].histogram.data_points[0]
    assert (explicit.count, explicit.sum, list(explicit.bucket_counts)) == (4, 8.5, [2, 2])
    native = metrics["alone"].exponential_histogram.data_points[0]
    assert (native.count, native.sum, native.scale, native.zero_count) == (4, 8.5, 0, 1)
    assert (native.positive.offset, list(native.positive.bucket_counts)) == (-2, [1, 0, 0, 1, 1])
    telemetry.shutdown()
