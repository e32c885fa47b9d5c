"""What the tests of the library share: a telemetry with spans in memory, and its samples as plain data."""

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
from telemetry.agentos import catalogue as rows
from telemetry.instruments.views import views
from tests.helpers.clock import Clock
from tests.helpers.providers import HostFactory


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(spans: InMemorySpanExporter) -> AgentOSTelemetry:
    """A telemetry whose spans are sampled and kept."""
    return AgentOSTelemetry(span_processors=[SimpleSpanProcessor(spans)], strict=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["direct", "public", "unknown state"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways into the SDK: straight, and through record(), where names of the SDK or of its aggregations are gone."""
    if request.param == "public":
        monkeypatch.setattr(record, "_hash_attributes", None)
    if request.param == "unknown state":
        monkeypatch.setattr(record, "_STATE", dict.fromkeys(record._STATE, attrgetter("gone")))
    return str(request.param)


@pytest.fixture
def host() -> Iterator[HostFactory]:
    """A host's provider with our Views (and others), and a telemetry over it."""
    made: list[MeterProvider] = []

    def build(*readers: MetricReader, more: list[View] | None = None, **options: Any) -> tuple[Telemetry, MeterProvider]:
        provider = MeterProvider(list(readers), views=[*views(rows.AGENTOS), *(more or [])], shutdown_on_exit=False, **options)
        made.append(provider)
        return AgentOSTelemetry(meter_provider=provider, tracer_provider=TracerProvider(shutdown_on_exit=False)), provider

    yield build
    for provider in made:
        provider.shutdown()
