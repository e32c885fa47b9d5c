"""The variables that ask for a push, and how an outage is waited out: what needs no receiver."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from telemetry.pipeline.otlp import ExportSettingsError, metric_readers, resource, span_processors
from telemetry.pipeline.outage import Outage


def test_nothing_is_sent_unless_asked_for() -> None:
    """Without any variable there is no processor and no reader."""
    assert (span_processors({}), metric_readers({})) == ((), ())


def test_a_signal_can_be_left_out() -> None:
    """An endpoint asks for both signals; OTEL_TRACES_EXPORTER=none takes one back."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_TRACES_EXPORTER": "none"}
    assert span_processors(variables) == ()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp and none are what can be exported to."),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc and http/protobuf are allowed."),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "a URL as in http://collector:4317 is allowed."),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://host:no", "a URL as in http://collector:4317 is allowed."),
    ],
)
def test_a_variable_that_cannot_be_followed_is_told_in_one_sentence(name: str, value: str, allowed: str) -> None:
    """The error names the variable, its value and what is allowed."""
    with pytest.raises(ExportSettingsError) as error:
        span_processors({"OTEL_TRACES_EXPORTER": "otlp", name: value})
    assert str(error.value) == f"{name} is {value!r}: {allowed}"


def test_the_service_name_variable_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SERVICE_NAME wins over a service.name among OTEL_RESOURCE_ATTRIBUTES, as the specification has it."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,team=blue")
    told = resource("agentos").attributes
    assert (told["service.name"], told["team"]) == ("shop", "blue")


def test_the_pauses_grow_up_to_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failures in a row double the pause before the next try; what works again is sent at once."""
    outage = Outage("traces", "http://collector:4317")
    waited: list[float] = []
    monkeypatch.setattr(outage._stop, "wait", waited.append)
    for result in [SpanExportResult.FAILURE] * 7 + [SpanExportResult.SUCCESS] * 2:
        outage.back_off()
        outage.run_export(lambda answer=result: answer, 1)
    assert waited == [2, 4, 5, 5, 5, 5, 5]
