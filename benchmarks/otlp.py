"""An OTLP reader beside the Prometheus reader: its cost per measurement, not the cost of an export."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)

__all__ = ["DELTA", "otlp_reader"]

DELTA: dict[type, AggregationTemporality] = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}


class _Unsent(OTLPMetricExporter):
    """The exporter with its temporality and aggregations; it sends nothing."""

    def export(self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **_: Any) -> MetricExportResult:
        return MetricExportResult.SUCCESS


def otlp_reader(temporality: Mapping[type, AggregationTemporality] | None = None) -> MetricReader:
    """Returns the SDK's periodic reader with the OTLP exporter and an endless period: it collects only when it is asked to."""
    exporter = _Unsent("http://127.0.0.1:9/v1/metrics", preferred_temporality=dict(temporality or {}))
    return PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
