"""What the tests of the library share: a telemetry with spans in memory, and its samples as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from telemetry import Telemetry
from telemetry.agentos import catalogue as rows
from telemetry._sdk import aggregation as record
from telemetry.instruments.views import views

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: str) -> Samples:
    """(name, sorted labels) -> value of a text exposition."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(telemetry: Telemetry) -> Samples:
    """The telemetry's samples, without what describes the target."""
    samples = samples_of(telemetry.reader.expose().body.decode())
    return {key: value for key, value in samples.items() if key[0] != "target_info"}


def above_zero(telemetry: Telemetry, prefix: str = "") -> Samples:
    """The samples that count something."""
    return {key: value for key, value in read(telemetry).items() if value and key[0].startswith(prefix)}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(spans: InMemorySpanExporter) -> Telemetry:
    """A telemetry whose spans are sampled and kept."""
    return Telemetry(span_processors=[SimpleSpanProcessor(spans)], strict=True)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def points(reader: InMemoryMetricReader) -> list[tuple[Any, ...]]:
    """What a reader collects, times left out."""
    data = reader.get_metrics_data()
    found = []
    for metric in (m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics) if data else ():
        for p in metric.data.data_points:
            value = p.value if hasattr(p, "value") else (p.count, p.sum, tuple(getattr(p, "bucket_counts", ())), p.min, p.max)
            exemplars = tuple((e.value, e.trace_id, dict(e.filtered_attributes)) for e in p.exemplars)
            found.append((metric.name, tuple(sorted(p.attributes.items())), value, exemplars))
    return sorted(found, key=lambda point: point[:2])


@pytest.fixture(params=["direct", "public", "unknown state"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways into the SDK: straight, and through record(), where names of the SDK or of its aggregations are gone."""
    if request.param == "public":
        monkeypatch.setattr(record, "_hash_attributes", None)
    if request.param == "unknown state":
        monkeypatch.setattr(record, "_STATE", dict.fromkeys(record._STATE, attrgetter("gone")))
    return str(request.param)


Provider = Callable[..., tuple[Telemetry, MeterProvider]]


@pytest.fixture
def host() -> Iterator[Provider]:
    """A host's provider with our Views (and others), and a telemetry over it."""
    made: list[MeterProvider] = []

    def build(*readers: MetricReader, more: list[View] | None = None, **options: Any) -> tuple[Telemetry, MeterProvider]:
        provider = MeterProvider(list(readers), views=[*views(rows.AGENTOS), *(more or [])], shutdown_on_exit=False, **options)
        made.append(provider)
        return Telemetry(meter_provider=provider, tracer_provider=TracerProvider(shutdown_on_exit=False)), provider

    yield build
    for provider in made:
        provider.shutdown()
