"""What the tests of the library share: a telemetry with spans in memory, and its samples as plain data."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from telemetry import Telemetry

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


Factory = Callable[..., Telemetry]
