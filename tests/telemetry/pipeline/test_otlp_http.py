"""What an endpoint may answer to a push over HTTP, and what it counts as."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from io import BytesIO

import pytest
import requests
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse
from urllib3 import HTTPResponse

from telemetry import Catalogue, Telemetry
from telemetry.metric import counter
from telemetry.pipeline import otlp_http
from tests.helpers.otlp_receiver import Receiver, receiving

ORDERS = counter("shop.orders", "{order}", "Orders")
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "text/html"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Where a redirect leads to."""
    with receiving() as found:
        yield found


@pytest.fixture(params=["traces", "metrics"])
def signal(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def telemetry(signal: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Pushes one signal to the receiver, when it is flushed."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER" if signal == "metrics" else "OTEL_METRICS_EXPORTER", "none")
    made = Telemetry.from_environment(Catalogue([ORDERS]), service_name="shop")
    made[ORDERS].labels().inc()
    yield made
    made.shutdown(1_000)


def push(telemetry: Telemetry, signal: str) -> None:
    """Sends one export."""
    if signal == "metrics":
        telemetry.meter_provider.force_flush()  # type: ignore[attr-defined]
    else:
        telemetry.tracer.start_span("call").end()
        telemetry.tracer_provider.force_flush()  # type: ignore[attr-defined]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def partial(signal: str, rejected: int, message: str) -> bytes:
    if signal == "metrics":
        points = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
        return ExportMetricsServiceResponse(partial_success=points).SerializeToString()
    spans = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=spans).SerializeToString()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
def test_redirect_is_a_failure_and_not_followed(
    status: int, telemetry: Telemetry, signal: str, receiver: Receiver, other: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither telemetry nor headers go to where an answer points; the outage is told once, and its end with the loss."""
    receiver.status = status
    receiver.answer_headers = {"Location": f"{other.url}/v1/{signal}", "Set-Cookie": "a=b"}
    push(telemetry, signal)
    receiver.status = 200
    push(telemetry, signal)
    assert other.headers == []
    assert "cookie" not in receiver.headers[-1]
    reason = f"trying on with growing pauses: it answers {status}, a redirect, which is not followed"
    assert lines(caplog) == [
        f"{signal} do not reach {receiver.url}, {reason}",
        f"{signal} reach {receiver.url} again, 1 were lost after 1 failed exports",
    ]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (HTML, b"<!doctype html><p>Sign in"),
        ({}, b"  <html>"),
        (HTML, b"Welcome"),
        (PROTOBUF, b"\xff\xff\xff"),
        (PROTOBUF, b"x" * 1_000_000),
        ({"Content-Type": "text/plain"}, b"x" * 20_000),
    ],
)
def test_answer_of_no_receiver_is_a_failure(
    headers: dict[str, str],
    body: bytes,
    telemetry: Telemetry,
    signal: str,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A page, another format, or more than an answer can be, comes from no OTLP receiver, whatever the status says."""
    receiver.answer_headers, receiver.body = headers, body
    push(telemetry, signal)
    (line,) = lines(caplog)
    assert line.startswith(f"{signal} do not reach {receiver.url}, trying on with growing pauses: it answers 200 with")


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, PROTOBUF, b""),
        (200, JSON, b"{}"),
        (200, JSON, b'{"partialSuccess":{}}'),
        (200, JSON, b"[" * 16_000),
        (200, JSON, b"null"),
        (200, {"Content-Type": "text/plain"}, b"ok"),
        (202, {}, b""),
        (204, {}, b""),
    ],
)
def test_other_ways_to_say_yes(
    status: int,
    headers: dict[str, str],
    body: bytes,
    telemetry: Telemetry,
    signal: str,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An empty answer, JSON and a word of text are successes: nothing is logged."""
    receiver.status, receiver.answer_headers, receiver.body = status, headers, body
    push(telemetry, signal)
    assert lines(caplog) == []


@pytest.mark.parametrize("form", [PROTOBUF, JSON])
def test_rejected_items_are_told_once_and_counted(
    form: dict[str, str], telemetry: Telemetry, signal: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """What the receiver rejects is lost and not sent again: one line when it begins, and one with the number at its end."""
    field = "rejectedDataPoints" if signal == "metrics" else "rejectedSpans"
    text = f'{{"partialSuccess": {{"{field}": "2", "errorMessage": "too\\u001b old"}}}}'.encode()
    receiver.answer_headers, receiver.body = form, partial(signal, 2, "too\x1b old") if form is PROTOBUF else text
    push(telemetry, signal)
    push(telemetry, signal)
    assert lines(caplog) == [f"{signal} reach {receiver.url}, which rejects some: too\N{REPLACEMENT CHARACTER} old"]
    receiver.body = b"" if form is PROTOBUF else b"{}"
    push(telemetry, signal)
    assert lines(caplog)[1:] == [f"{signal} are taken by {receiver.url} again, 4 were lost after 2 exports"]


def test_answer_in_drops_is_left_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout is that of the whole answer, not of each byte."""
    now = iter(range(100))
    monkeypatch.setattr(otlp_http, "monotonic", lambda: next(now))
    response = requests.Response()
    response.status_code = 200
    response.raw = HTTPResponse(body=BytesIO(b"x" * 1000), preload_content=False)
    answers = otlp_http.Answers("TRACES")
    otlp_http._reading(lambda _, **options: response, answers)(None, timeout=5)
    assert answers.failure is not None
    assert next(now) == 7


def test_answer_that_does_not_end_is_left(
    telemetry: Telemetry, signal: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that promises more than it sends fails the export."""
    receiver.answer_headers, receiver.body = {"Content-Length": "100", "Connection": "close"}, b"half"
    push(telemetry, signal)
    (line,) = lines(caplog)
    assert "it answers 200 with more than 16384 bytes, or without an end" in line
