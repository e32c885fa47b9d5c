"""Exemplars of MCP's durations name the spans of the operations."""

from __future__ import annotations

from mcp import Client
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from telemetry.agentos.mcp import measure_client, measure_server
from tests.helpers.mcp_server import build_server, described, telemetry_of
from tests.helpers.span_log import SpanLog


async def test_each_series_has_an_exemplar_whose_span_has_its_labels() -> None:
    """Calls that succeed, fail and are refused, at both ends: each series' exemplar is a span with the same attributes."""
    log = SpanLog()
    telemetry = telemetry_of(log)
    async with measure_client(telemetry, Client(measure_server(telemetry, build_server()), mode="legacy")) as client:
        for name in ("add", "fail", "missing"):
            await client.session.call_tool(name, {"a": 1, "b": 2} if name == "add" else {})
        await client.get_prompt("greet", {"name": "Ann"})
    spans = {span["span"]: span for span in map(described, log.ended)}
    body = telemetry.reader.expose(accept="application/openmetrics-text").body.decode()
    named = 0
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            if "operation_duration" in sample.name and sample.exemplar is not None:
                span = spans[sample.exemplar.labels["span_id"]]
                labels = {key: value for key, value in sample.labels.items() if key != "le" and value}
                attributes = {key.replace(".", "_"): str(value) for key, value in span["attributes"].items()}
                assert labels.items() <= attributes.items()
                named += 1
    series = {(span["name"], span["kind"], span["attributes"].get("error.type")) for span in spans.values()}
    assert named == len(series)
