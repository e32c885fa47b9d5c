"""Push as the ``OTEL_*`` variables ask for it, to a receiver in this process or to none."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from telemetry import Catalogue, Telemetry
from telemetry.metric import counter, open_label
from tests.helpers.otlp_receiver import Receiver, receiving

ORDERS = counter("shop.orders", "{order}", "Orders", open_label("shop", "shop", limit=3))
FromVariables = Callable[..., Telemetry]


@pytest.fixture
def from_variables(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Iterator[FromVariables]:
    """Builds a shop's telemetry from these variables alone, and shuts it down after the test, before the receiver."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    built: list[Telemetry] = []

    def build(**variables: str) -> Telemetry:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        built.append(Telemetry.from_environment(Catalogue([ORDERS]), service_name="shop"))
        return built[-1]

    yield build
    for telemetry in built:
        telemetry.shutdown(1_000)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def refused() -> str:
    """A URL without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def logged() -> Iterator[threading.Event]:
    """Set when an outage is logged."""
    event = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: event.set()  # type: ignore[method-assign]  # a handler that sets the event
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
    """Value, temporality (1 delta, 2 cumulative) and number of exemplars of the next push's only series."""
    request: Any = receiver.metrics.get(timeout=5)
    (metric,) = request.resource_metrics[0].scope_metrics[0].metrics
    (point,) = metric.sum.data_points
    assert [(a.key, a.value.string_value) for a in point.attributes] == [("shop", "north")]
    return point.as_int, metric.sum.aggregation_temporality, len(point.exemplars)


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_headers_and_compression_keep_their_meaning(from_variables: FromVariables, receiver: Receiver) -> None:
    """Headers and compression of the variables are in the request."""
    variables = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    telemetry = from_variables(**http(receiver.url, **variables))
    telemetry[ORDERS].labels(shop="north").inc()
    telemetry.shutdown()
    assert receiver.headers[0]["x-team"] == "blue"
    assert receiver.headers[0]["content-encoding"] == "gzip"


def test_the_same_state_is_pushed_and_served_with_exemplars(from_variables: FromVariables, receiver: Receiver) -> None:
    """A counter is pushed cumulative, with its exemplar, and /metrics shows the same value."""
    telemetry = from_variables(**http(receiver.url))
    with telemetry.tracer.start_as_current_span("order"):
        telemetry[ORDERS].labels(shop="north").inc()
    telemetry.meter_provider.force_flush()
    assert pushed(receiver) == (1, 2, 1)
    assert b'shop_orders_total{shop="north"} 1' in telemetry.reader.expose().body


def test_delta_temporality_loses_nothing(from_variables: FromVariables, receiver: Receiver) -> None:
    """With the delta preference each push has the measurements since the last one, and /metrics stays cumulative."""
    telemetry = from_variables(**http(receiver.url, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta"))
    sent = []
    for count in (3, 4):
        for _ in range(count):
            telemetry[ORDERS].labels(shop="north").inc()
        telemetry.meter_provider.force_flush()
        sent.append(pushed(receiver))
    assert sent == [(3, 1, 0), (4, 1, 0)]
    assert b'shop_orders_total{shop="north"} 7' in telemetry.reader.expose().body


def test_resource_attributes_win_over_defaults(from_variables: FromVariables) -> None:
    """OTEL_RESOURCE_ATTRIBUTES names the service and its instance."""
    given = "service.name=bakery,service.instance.id=one,team=blue"
    found = from_variables(OTEL_RESOURCE_ATTRIBUTES=given).resource.attributes
    assert (found["service.name"], found["service.instance.id"], found["team"]) == ("bakery", "one", "blue")


def test_each_process_has_an_instance_id(from_variables: FromVariables) -> None:
    """Two processes that push the same series have different ids, and the same service name."""
    first, second = (from_variables().resource.attributes for _ in range(2))
    assert first["service.name"] == second["service.name"] == "shop"
    assert first["service.instance.id"] != second["service.instance.id"]


def test_path_of_the_endpoint_is_not_logged(
    from_variables: FromVariables, refused: str, logged: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """An endpoint may have a key in its path: neither the line on an outage nor its reason shows it."""
    telemetry = from_variables(**http(f"{refused}/s3cret", OTEL_METRICS_EXPORTER="none"))
    for _ in range(600):
        telemetry.tracer.start_span("call").end()
    assert logged.wait(10)
    telemetry.shutdown()
    assert [refused in line.getMessage() for line in warnings(caplog)] == [True]
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_endpoint_that_refuses_is_logged_in_one_line(
    from_variables: FromVariables,
    refused: str,
    receiver: Receiver,
    scheme: str,
    protocol: str,
    logged: threading.Event,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A refused port and a TLS mismatch: one warning with the endpoint, no stack trace, and nothing on stderr."""
    url = refused if scheme == "http" else receiver.url.replace("http:", "https:")
    telemetry = from_variables(**http(url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, OTEL_METRICS_EXPORTER="none"))
    for _ in range(600):
        telemetry.tracer.start_span("call").end()
    assert logged.wait(10)
    telemetry.shutdown()
    assert [(url in line.getMessage(), line.exc_info) for line in warnings(caplog)] == [(True, None)]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_host_that_does_not_exist_is_logged_in_one_line(
    from_variables: FromVariables,
    protocol: str,
    logged: threading.Event,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A name that cannot be resolved: one warning with the endpoint, no stack trace, and nothing on stderr."""
    url = "http://nowhere.invalid:4317"
    telemetry = from_variables(**http(url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, OTEL_METRICS_EXPORTER="none"))
    telemetry.tracer.start_span("call").end()
    assert logged.wait(20)
    telemetry.shutdown()
    assert [(url in line.getMessage(), line.exc_info) for line in warnings(caplog)] == [(True, None)]
    assert capfd.readouterr().err == ""


def test_metrics_without_a_collector_do_not_hold_up_the_shutdown(
    from_variables: FromVariables, refused: str, logged: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """A shutdown while the collector is away ends the export's retries; one line is logged."""
    variables = {
        "OTEL_METRIC_EXPORT_INTERVAL": "10",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "600",  # left alone the export would try again for a minute
    }
    before = threading.enumerate()
    telemetry = from_variables(**http(refused, **variables))
    telemetry[ORDERS].labels(shop="north").inc()
    assert logged.wait(10)
    telemetry.shutdown()
    assert not [thread for thread in threading.enumerate() if thread not in before and "MetricReader" in thread.name]
    assert [line.name for line in warnings(caplog)] == ["telemetry.pipeline.otlp", "telemetry.pipeline.outage"]


def test_full_queue_is_not_logged_during_an_outage(
    from_variables: FromVariables, refused: str, logged: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans that do not fit into the queue are part of the outage that was logged."""
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2", "OTEL_METRICS_EXPORTER": "none"}
    telemetry = from_variables(**http(refused, **small))
    telemetry.tracer.start_span("call").end()
    assert logged.wait(10)
    for _ in range(100):
        telemetry.tracer.start_span("call").end()
    telemetry.shutdown()
    assert len(warnings(caplog)) == 1


def test_wrong_path_is_logged_in_one_line(
    from_variables: FromVariables, receiver: Receiver, logged: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that answers 404 is logged once, with the code."""
    receiver.status = 404
    telemetry = from_variables(**http(receiver.url, OTEL_METRICS_EXPORTER="none"))
    telemetry.tracer.start_span("call").end()
    assert logged.wait(10)
    telemetry.shutdown()
    (line,) = warnings(caplog)
    assert line.getMessage().startswith(f"traces do not reach {receiver.url}, ")
    assert "404" in line.getMessage()


def test_end_of_an_outage_is_logged(
    from_variables: FromVariables, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """One line is logged when the destination goes away, however often it is tried, and one when it accepts a push again."""
    telemetry = from_variables(**http(receiver.url, OTEL_TRACES_EXPORTER="none"))
    telemetry[ORDERS].labels(shop="north").inc()
    for status in (404, 404, 200):
        receiver.status = status
        telemetry.meter_provider.force_flush()
    assert [line.getMessage().partition(", ")[0] for line in warnings(caplog)] == [
        f"metrics do not reach {receiver.url}",
        f"metrics reach {receiver.url} again",
    ]


def test_credential_in_the_endpoint_is_not_logged(
    from_variables: FromVariables, refused: str, logged: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """No log line has the user and password of the URL."""
    telemetry = from_variables(**http(refused.replace("//", "//user:hush@"), OTEL_METRICS_EXPORTER="none"))
    telemetry.tracer.start_span("call").end()
    assert logged.wait(10)
    assert "hush" not in caplog.text
