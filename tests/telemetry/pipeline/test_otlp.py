"""Push as ``OTEL_*`` variables ask for it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.catalogue import A2A_REQUESTS
from tests.helpers.otlp_receiver import Receiver, receiving

LABELS = {"agent": "navi", "operation": "query", "status": "success"}
SERIES = b'a2a_requests_total{agent="navi",operation="query",status="success"} '
Ask = Callable[..., Telemetry]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Iterator[Ask]:
    """Builds a telemetry from these variables alone and shuts it down after the test, before the receiver."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    built: list[Telemetry] = []

    def from_variables(**variables: str) -> Telemetry:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        built.append(AgentOSTelemetry.from_environment())
        return built[-1]

    yield from_variables
    for telemetry in built:
        telemetry.shutdown(1_000)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def refused() -> str:
    """A URL where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def said() -> Iterator[threading.Event]:
    """Set once an outage is told."""
    event = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: event.set()  # type: ignore[method-assign]  # a handler that only notices
    logger = logging.getLogger("telemetry.pipeline.outage")
    logger.addHandler(handler)
    yield event
    logger.removeHandler(handler)


def http(url: str, **more: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
        **more,
    }


def pushed(receiver: Receiver) -> tuple[int, int, int]:
    """Value, temporality (1 delta, 2 cumulative) and exemplars of the next push's series with ``LABELS``."""
    request: Any = receiver.metrics.get(timeout=5)
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    counter = next(metric for metric in metrics if metric.name == "a2a.requests").sum
    labels = [{a.key: a.value.string_value for a in point.attributes} for point in counter.data_points]
    point = counter.data_points[labels.index(LABELS)]
    return point.as_int, counter.aggregation_temporality, len(point.exemplars)


def warned(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_headers_and_compression_keep_their_meaning(ask: Ask, receiver: Receiver) -> None:
    """What the variables say is on the wire."""
    said = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    telemetry = ask(**http(receiver.url, **said))
    telemetry[A2A_REQUESTS].labels(**LABELS).inc()
    telemetry.shutdown()
    assert receiver.headers[0]["x-team"] == "blue"
    assert receiver.headers[0]["content-encoding"] == "gzip"


def test_the_same_state_is_pushed_and_served_with_exemplars(ask: Ask, receiver: Receiver) -> None:
    """A counter's value goes out cumulative with its exemplar, and /metrics shows the same value."""
    telemetry = ask(**http(receiver.url))
    with telemetry.recorder.a2a_call(agent="navi", operation="query"):
        pass
    telemetry.meter_provider.force_flush()
    assert pushed(receiver) == (1, 2, 1)
    assert SERIES + b"1" in telemetry.reader.expose().body


def test_delta_temporality_loses_nothing(ask: Ask, receiver: Receiver) -> None:
    """With the delta preference each push holds what came since the last one, and /metrics stays cumulative."""
    telemetry = ask(**http(receiver.url, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta"))
    sent = []
    for count in (3, 4):
        for _ in range(count):
            telemetry[A2A_REQUESTS].labels(**LABELS).inc()
        telemetry.meter_provider.force_flush()
        sent.append(pushed(receiver))
    assert sent == [(3, 1, 0), (4, 1, 0)]
    assert SERIES + b"7" in telemetry.reader.expose().body


def test_resource_attributes_win_over_defaults(ask: Ask) -> None:
    """OTEL_RESOURCE_ATTRIBUTES names the service and its instance."""
    told = ask(OTEL_RESOURCE_ATTRIBUTES="service.name=shop,service.instance.id=one,team=blue").resource.attributes
    assert (told["service.name"], told["service.instance.id"], told["team"]) == ("shop", "one", "blue")


def test_each_process_has_an_instance_id(ask: Ask) -> None:
    """Two that push the same series can be told apart, and both are agentos."""
    first, second = (ask().resource.attributes for _ in range(2))
    assert first["service.name"] == second["service.name"] == "agentos"
    assert first["service.instance.id"] != second["service.instance.id"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_endpoint_that_cannot_be_spoken_to_is_told_in_one_line(
    ask: Ask,
    refused: str,
    receiver: Receiver,
    scheme: str,
    protocol: str,
    said: threading.Event,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A refused port and a TLS mismatch: one warning with the endpoint, no stack trace, and an end without waiting."""
    url = refused if scheme == "http" else receiver.url.replace("http:", "https:")
    telemetry = ask(**http(url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, OTEL_METRICS_EXPORTER="none"))
    for _ in range(600):
        telemetry.tracer.start_span("call").end()
    assert said.wait(10)
    telemetry.shutdown()
    assert [(url in line.getMessage(), line.exc_info) for line in warned(caplog)] == [(True, None)]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_host_that_does_not_exist_is_told_in_one_line(
    ask: Ask, protocol: str, said: threading.Event, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A name that cannot be resolved: one warning with the endpoint, no stack trace, and an end without waiting."""
    url = "http://nowhere.invalid:4317"
    telemetry = ask(**http(url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, OTEL_METRICS_EXPORTER="none"))
    telemetry.tracer.start_span("call").end()
    assert said.wait(20)
    telemetry.shutdown()
    assert [(url in line.getMessage(), line.exc_info) for line in warned(caplog)] == [(True, None)]
    assert capfd.readouterr().err == ""


def test_metrics_that_nobody_takes_do_not_hold_up_the_end(
    ask: Ask, refused: str, said: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """A shutdown while the collector is away says one line and does not wait for the export's retries."""
    telemetry = ask(**http(refused, OTEL_METRIC_EXPORT_INTERVAL="10", OTEL_TRACES_EXPORTER="none"))
    telemetry[A2A_REQUESTS].labels(**LABELS).inc()
    assert said.wait(10)
    started = time.monotonic()
    telemetry.shutdown()
    assert time.monotonic() - started < 5  # left alone the export would try again and again
    assert len(warned(caplog)) == 1


def test_a_full_queue_is_not_told_during_an_outage(
    ask: Ask, refused: str, said: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans that the queue has no room for are part of the outage that was told."""
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2", "OTEL_METRICS_EXPORTER": "none"}
    telemetry = ask(**http(refused, **small))
    telemetry.tracer.start_span("call").end()
    assert said.wait(10)
    for _ in range(100):
        telemetry.tracer.start_span("call").end()
    telemetry.shutdown()
    assert len(warned(caplog)) == 1


def test_a_wrong_path_is_told_in_one_line(
    ask: Ask, receiver: Receiver, said: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that answers 404 is told once, with the code."""
    receiver.status = 404
    telemetry = ask(**http(receiver.url, OTEL_METRICS_EXPORTER="none"))
    telemetry.tracer.start_span("call").end()
    assert said.wait(10)
    telemetry.shutdown()
    (line,) = warned(caplog)
    assert line.getMessage().startswith(f"traces do not reach {receiver.url}, ")
    assert "404" in line.getMessage()


def test_the_end_of_an_outage_is_told(ask: Ask, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """One line when the destination goes, however often it is tried, and one when it takes again what it is sent."""
    telemetry = ask(**http(receiver.url, OTEL_TRACES_EXPORTER="none"))
    telemetry[A2A_REQUESTS].labels(**LABELS).inc()
    for status in (404, 404, 200):
        receiver.status = status
        telemetry.meter_provider.force_flush()
    assert [line.getMessage().partition(", ")[0] for line in warned(caplog)] == [
        f"metrics do not reach {receiver.url}",
        f"metrics reach {receiver.url} again",
    ]


def test_a_credential_in_the_endpoint_is_not_told(
    ask: Ask, refused: str, said: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """User and password of the URL are in no log line."""
    telemetry = ask(**http(refused.replace("//", "//user:hush@"), OTEL_METRICS_EXPORTER="none"))
    telemetry.tracer.start_span("call").end()
    assert said.wait(10)
    assert "hush" not in caplog.text
