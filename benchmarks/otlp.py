"""An OTLP reader beside the Prometheus reader: its cost per measurement, not the cost of an export."""

from __future__ import annotations

import math
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader, PeriodicExportingMetricReader

__all__ = ["DELTA", "otlp_reader"]

DELTA: dict[type, AggregationTemporality] = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}


def otlp_reader(temporality: Mapping[type, AggregationTemporality] | None = None) -> MetricReader:
    """Returns the SDK's periodic reader with the OTLP exporter and an endless period: it sends nothing."""
    exporter = OTLPMetricExporter("http://127.0.0.1:9/v1/metrics", preferred_temporality=dict(temporality or {}))
    return PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
