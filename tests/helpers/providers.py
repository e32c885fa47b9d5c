"""SDK providers with a ``PrometheusReader``, and the samples of their scrapes as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from telemetry import Telemetry
from telemetry.exposition import PrometheusReader

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
OPENMETRICS_2 = "application/openmetrics-text;version=2.0.0"
RESOURCE = Resource({"service.name": "test"})
TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test")

HostFactory = Callable[..., tuple[Telemetry, MeterProvider]]
"""Builds a host's provider with our Views, and a telemetry over it."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], Any]


def provider(
    *, views: Sequence[View] = (), resource: Resource = RESOURCE, **options: Any
) -> tuple[MeterProvider, PrometheusReader]:
    """Returns a provider with one reader, which has a registry of its own."""
    options = {"registry": CollectorRegistry(), "scope_info_enabled": False, "disable_target_info": True, **options}
    reader = PrometheusReader(**options)
    return MeterProvider([reader], resource, shutdown_on_exit=False, views=views), reader


def text(reader: PrometheusReader, accept: str | None = None, **options: Any) -> str:
    """Returns the body of a scrape as text."""
    return reader.expose(accept, **options).body.decode()


def families(body: str, *, openmetrics: bool) -> list[Metric]:
    """Parses the body with prometheus_client."""
    return list((parse_openmetrics if openmetrics else parse_text)(body))


def samples(metrics: Iterable[Metric]) -> Samples:
    """Returns (sample name, labels that have a value) -> value; NaN as a string, so that it equals itself."""
    found: Samples = {}
    for metric in metrics:
        for sample in metric.samples:
            key = (sample.name, frozenset((k, v) for k, v in sample.labels.items() if v))
            assert key not in found, f"duplicate sample: {key}"
            found[key] = plain(sample.value)
    return found


def plain(value: float) -> Any:
    """Returns the value in a form that can be compared."""
    return "NaN" if math.isnan(value) else float(value)


def key(name: str, labels: Mapping[str, str] | None = None) -> tuple[str, frozenset[tuple[str, str]]]:
    """Returns a key of ``samples``."""
    return name, frozenset((labels or {}).items())


def span(number: int) -> NonRecordingSpan:
    """Returns a sampled span whose trace id and span id are ``number``."""
    return NonRecordingSpan(SpanContext(number, number, False, TraceFlags(TraceFlags.SAMPLED)))
