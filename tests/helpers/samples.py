"""Samples of a ``Telemetry`` as plain data."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from telemetry import Telemetry

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: str) -> Samples:
    """Returns (name, sorted labels) -> value of a text exposition."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(telemetry: Telemetry) -> Samples:
    """Returns the telemetry's samples without ``target_info``."""
    samples = samples_of(telemetry.reader.expose().body.decode())
    return {key: value for key, value in samples.items() if key[0] != "target_info"}


def above_zero(telemetry: Telemetry, prefix: str = "") -> Samples:
    """Returns the samples whose value is not 0 and whose name has the prefix."""
    return {key: value for key, value in read(telemetry).items() if value and key[0].startswith(prefix)}


def points(reader: InMemoryMetricReader) -> list[tuple[Any, ...]]:
    """Returns the data points that the reader collects, without times."""
    data = reader.get_metrics_data()
    found = []
    for metric in (m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics) if data else ():
        for p in metric.data.data_points:
            value = p.value if hasattr(p, "value") else (p.count, p.sum, tuple(getattr(p, "bucket_counts", ())), p.min, p.max)
            exemplars = tuple((e.value, e.trace_id, dict(e.filtered_attributes or {})) for e in p.exemplars)
            found.append((metric.name, tuple(sorted((p.attributes or {}).items())), value, exemplars))
    return sorted(found, key=lambda point: point[:2])


def counts(telemetry: Telemetry, name: str = "a2a_request_duration_seconds") -> dict[str, float]:
    """Returns status -> number of observations of the histogram."""
    return {dict(ls)["status"]: v for (n, ls), v in above_zero(telemetry).items() if n == f"{name}_count"}


def labelled(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


def counters(telemetry: Telemetry) -> dict[Any, float]:
    """Returns counters, gauges and histogram counts whose value is not 0."""
    return {k: v for k, v in above_zero(telemetry).items() if k[0].endswith(("_total", "_count", "_tasks"))}
