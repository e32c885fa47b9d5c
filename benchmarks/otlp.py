"""An OTLP reader beside the Prometheus reader: what it adds to a measurement, not what an export costs once a minute."""

from __future__ import annotations

import math
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader, PeriodicExportingMetricReader

__all__ = ["DELTA", "otlp_reader"]

DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}


def otlp_reader(temporality: Mapping[type, AggregationTemporality] | None = None) -> MetricReader:
    """The SDK's periodic reader in front of the OTLP exporter, with a period that never ends: nothing is sent."""
    exporter = OTLPMetricExporter("http://127.0.0.1:9/v1/metrics", preferred_temporality=dict(temporality or {}))
    return PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
