"""The example of an application that has OpenTelemetry already."""

from __future__ import annotations

from pathlib import Path

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.helpers.example_process import EXAMPLES, served
from tests.helpers.otlp_receiver import Receiver, receiving


def test_metrics_and_spans_of_both_meet(tmp_path: Path) -> None:
    """One order is on /metrics with the application's own counter, and the timer's span lies in the application's trace."""
    with receiving() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with served(str(EXAMPLES / "opentelemetry_app.py"), folder=tmp_path, **settings) as example:
            httpx.post(f"{example.url}/shops/north/orders").raise_for_status()
            lines = example.metrics()
            spans = _spans(receiver, "order", "checkout.duration")
    assert 'checkout_duration_seconds_count{shop="north"} 1' in lines
    assert "visits_total 1" in lines
    assert spans["checkout.duration"].parent_span_id == spans["order"].span_id
    assert spans["checkout.duration"].trace_id == spans["order"].trace_id


def _spans(receiver: Receiver, *names: str) -> dict[str, Span]:
    """Returns the spans of these names; FastAPI opens others."""
    spans: dict[str, Span] = {}
    while not spans.keys() >= set(names):
        for resource in receiver.traces.get(timeout=20).resource_spans:
            spans.update({span.name: span for scope in resource.scope_spans for span in scope.spans})
    return spans
