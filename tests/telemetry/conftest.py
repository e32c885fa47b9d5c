"""What the tests of the library share: telemetries with spans in memory, a clock, and providers."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry import AgentOSTelemetry, Telemetry
from telemetry._sdk import aggregation as record
from telemetry.instruments.views import views
from tests.helpers.catalogue import CATALOGUE
from tests.helpers.clock import Clock
from tests.helpers.providers import HostFactory


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(spans: InMemorySpanExporter) -> AgentOSTelemetry:
    """A strict telemetry whose spans are sampled and kept in ``spans``."""
    return AgentOSTelemetry(span_processors=[SimpleSpanProcessor(spans)], strict=True)


@pytest.fixture
def shop(spans: InMemorySpanExporter) -> Telemetry:
    """A telemetry of the small catalogue whose spans are sampled and kept."""
    return Telemetry(CATALOGUE, span_processors=[SimpleSpanProcessor(spans)], strict=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["direct", "public", "unknown state"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How series are recorded: directly, or through ``record()`` because names of the SDK or of its aggregations are gone."""
    if request.param == "public":
        monkeypatch.setattr(record, "_STATE", {})
    if request.param == "unknown state":
        monkeypatch.setattr(record, "_STATE", dict.fromkeys(record._STATE, attrgetter("gone")))
    return str(request.param)


@pytest.fixture
def host() -> Iterator[HostFactory]:
    """Makes a provider with the small catalogue's Views (and others), and a telemetry that records into it."""
    made: list[MeterProvider] = []

    def build(*readers: MetricReader, more: list[View] | None = None, **options: Any) -> tuple[Telemetry, MeterProvider]:
        provider = MeterProvider(list(readers), views=[*views(CATALOGUE), *(more or [])], shutdown_on_exit=False, **options)
        made.append(provider)
        tracer_provider = TracerProvider(shutdown_on_exit=False)
        return Telemetry(CATALOGUE, meter_provider=provider, tracer_provider=tracer_provider), provider

    yield build
    for provider in made:
        provider.shutdown()
