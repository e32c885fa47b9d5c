"""Fixtures of the library's tests."""

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
    """A strict telemetry whose spans are sampled and kept in ``spans``."""
    return AgentOSTelemetry(span_processors=[SimpleSpanProcessor(spans)], strict=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["direct", "public", "unknown state"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The direct path into the SDK, and ``record()``: where private names of the SDK or of its aggregations are missing."""
    if request.param == "public":
        monkeypatch.setattr(record, "_hash_attributes", None)
    if request.param == "unknown state":
        monkeypatch.setattr(record, "_STATE", dict.fromkeys(record._STATE, attrgetter("gone")))
    return str(request.param)


@pytest.fixture
def host() -> Iterator[HostFactory]:
    """Builds a host's provider with our Views and those in ``more``, and a telemetry that uses it."""
    made: list[MeterProvider] = []

    def build(*readers: MetricReader, more: list[View] | None = None, **options: Any) -> tuple[Telemetry, MeterProvider]:
        provider = MeterProvider(list(readers), views=[*views(rows.AGENTOS), *(more or [])], shutdown_on_exit=False, **options)
        made.append(provider)
        return AgentOSTelemetry(meter_provider=provider, tracer_provider=TracerProvider(shutdown_on_exit=False)), provider

    yield build
    for provider in made:
        provider.shutdown()
