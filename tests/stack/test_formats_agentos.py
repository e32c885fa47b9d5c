"""AgentOS' whole catalogue: Prometheus' own parsers read the same series from each format and each entry point."""

from __future__ import annotations

from typing import Any

import prometheus_client
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition as openmetrics

from telemetry import AgentOSTelemetry
from telemetry.agentos import catalogue_genai
from telemetry.agentos.catalogue_models import MODELS
from telemetry.metric import Catalogue, Kind
from telemetry.metric.label import Label
from telemetry.metric.telemetry_metrics import DESCRIPTIVE
from tests.helpers.expected_series import Format, Native, Sample, shown
from tests.helpers.generated_hosts import ESCAPINGS
from tests.helpers.prometheus_parser import PrometheusParser

RECORDED = (Kind.COUNTER, Kind.UP_DOWN_COUNTER, Kind.HISTOGRAM)


def value_of(label: Label) -> str:
    """A value that the label takes."""
    if label.values:
        return label.values[0]
    return next(each for each in ("1", "a", "/a") if label.pattern is None or label.pattern.fullmatch(each))


def agentos(native: bool) -> AgentOSTelemetry:
    """A telemetry of all three catalogues with a measurement of each metric, inside of a span."""
    telemetry = AgentOSTelemetry(
        Catalogue([*MODELS, *DESCRIPTIVE, *catalogue_genai.LATEST.rows]),
        resource=Resource({"service.name": "agentos", "k é": 'a"b\n'}),
        span_processors=[SimpleSpanProcessor(InMemorySpanExporter())],
        native_histograms=native,
        registry=CollectorRegistry(),
    )
    with telemetry.tracer.start_as_current_span("measured"):
        for metric in telemetry.catalogue:
            values = [value_of(label) for label in metric.labels]
            if metric.kind is Kind.HISTOGRAM:
                for number in (0.0, 0.004, 0.42, 12.0, 1e6):
                    telemetry[metric].labels(*values).observe(number)
            elif metric.kind in RECORDED:
                telemetry[metric].labels(*values).inc(3)
    return telemetry


Values = dict[Any, Sample]


def read(parser: PrometheusParser, body: bytes, content_type: str, format_: Format) -> Values:
    """Name and labels -> sample, without what the telemetry counts of itself."""
    samples = shown(parser.parse(body, content_type, classic=True), format_).samples
    return {(name, labels): each for (name, labels), each in samples.items() if not name.startswith("agentos_telemetry")}


def numbers(samples: Values) -> dict[Any, Any]:
    """The values, without the native histograms."""
    return {key: each.value for key, each in samples.items() if not isinstance(each.value, Native)}


@pytest.mark.parametrize("escaping", ESCAPINGS)
@pytest.mark.parametrize("native", [False, True], ids=["classic", "both forms"])
def test_the_formats_agree(prometheus_parser: PrometheusParser, native: bool, escaping: str) -> None:
    """Each format has the same series, values and exemplars; native histograms count and sum what the classic ones do."""
    reader = agentos(native).reader
    bodies = {
        format_: read(prometheus_parser, *reader.expose(f"{format_.value};escaping={escaping}"), format_) for format_ in Format
    }
    text = numbers(bodies[Format.TEXT])
    names = {name.removesuffix("_count") for name, _ in text}
    assert {metric.prometheus_name for metric in MODELS if metric.kind in RECORDED} <= names
    for format_ in Format:
        assert numbers(bodies[format_]) == text
    for format_ in (Format.OPENMETRICS_2, Format.PROTOBUF):
        found = {key: each.value for key, each in bodies[format_].items() if isinstance(each.value, Native)}
        counts = {(name.removesuffix("_count"), labels): n for (name, labels), n in text.items() if name.endswith("_count")}
        assert {key: each.total for key, each in found.items()} == (counts if native else {})
        assert all(text[f"{name}_sum", labels] == each.sum for (name, labels), each in found.items())
        assert all(each.start for (name, _), each in bodies[format_].items() if name.endswith(("_total", "_count")))
    marks = [
        {key: each.exemplars for key, each in bodies[format_].items() if not isinstance(each.value, Native)}
        for format_ in (Format.OPENMETRICS, Format.OPENMETRICS_2, Format.PROTOBUF)
    ]
    traces = [{key: [each[:2] for each in found] for key, found in body.items()} for body in marks]
    assert traces[0] == traces[1] == traces[2]
    assert any(traces[0].values())


def test_the_entry_points_of_prometheus_client_agree(prometheus_parser: PrometheusParser) -> None:
    """``generate_latest`` of both modules shows what the reader does in that format, exemplars included."""
    telemetry = agentos(native=True)
    text = prometheus_client.generate_latest(telemetry.registry)
    marked = openmetrics.generate_latest(telemetry.registry)  # type: ignore[no-untyped-call]  # no types there
    for format_, body, content_type in (
        (Format.TEXT, text, prometheus_client.CONTENT_TYPE_LATEST),
        (Format.OPENMETRICS, marked, openmetrics.CONTENT_TYPE_LATEST),
    ):
        ours = read(prometheus_parser, *telemetry.reader.expose(format_.value), format_)
        assert read(prometheus_parser, body, content_type, format_) == ours
