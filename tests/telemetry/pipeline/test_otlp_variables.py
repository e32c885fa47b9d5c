"""The variables that ask for a push, and the log lines and pauses of an outage: what needs no receiver."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry.pipeline import otlp
from telemetry.pipeline.otlp import ExportSettingsError, metric_readers, resource, span_processors
from telemetry.pipeline.outage import Outage


def test_nothing_is_sent_unless_asked_for() -> None:
    """Without any variable there is no processor and no reader."""
    assert (span_processors({}), metric_readers({})) == ((), ())


def test_signal_can_be_left_out() -> None:
    """An endpoint asks for both signals; OTEL_TRACES_EXPORTER=none leaves traces out."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_TRACES_EXPORTER": "none"}
    assert span_processors(variables) == ()


@pytest.mark.parametrize("value", ["console", "console, console", "none,Console"])
def test_console_prints_both_signals(value: str) -> None:
    """``console`` is an exporter of the SDK, once for each signal."""
    (processor,) = span_processors({"OTEL_TRACES_EXPORTER": value})
    (reader,) = metric_readers({"OTEL_METRICS_EXPORTER": value})
    assert type(processor.span_exporter) is ConsoleSpanExporter  # type: ignore[attr-defined]
    assert type(reader._exporter) is ConsoleMetricExporter  # type: ignore[attr-defined]
    processor.shutdown()
    reader.shutdown()


def test_metrics_exporter_that_serves_asks_for_no_push() -> None:
    """``prometheus`` and ``agentos`` are served on /metrics already."""
    assert metric_readers({"OTEL_METRICS_EXPORTER": "prometheus, agentos"}) == ()


def test_exporter_that_a_package_registers_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of the SDK's entry points gives that package's exporter."""
    registered = EntryPoint(
        "memory", f"{InMemorySpanExporter.__module__}:InMemorySpanExporter", "opentelemetry_traces_exporter"
    )
    monkeypatch.setattr(otlp, "entry_points", lambda **_: EntryPoints([registered]))
    first, second = span_processors({"OTEL_TRACES_EXPORTER": "memory,console"})
    assert [type(p.span_exporter) for p in (first, second)] == [InMemorySpanExporter, ConsoleSpanExporter]  # type: ignore[attr-defined]
    first.shutdown()
    second.shutdown()


@pytest.mark.parametrize(
    ("names", "protocols"),
    [
        ("otlp_proto_grpc", ["grpc"]),
        ("otlp_proto_http", ["http"]),
        ("otlp_proto_http,otlp_proto_grpc", ["http", "grpc"]),
        ("otlp,otlp_proto_grpc,otlp_proto_http", ["grpc", "http"]),
    ],
)
def test_otlp_by_its_protocols_name(names: str, protocols: list[str]) -> None:
    """``otlp_proto_grpc`` and ``otlp_proto_http`` are the exporter ``otlp`` with that protocol, outages included, each once."""
    made = span_processors({"OTEL_TRACES_EXPORTER": names})
    kinds = [type(processor.span_exporter) for processor in made]  # type: ignore[attr-defined]
    assert [kind.__mro__[1].__module__.split(".")[4] for kind in kinds] == protocols
    assert [hasattr(kind, "stop_backoff") for kind in kinds] == [True] * len(protocols)
    for processor in made:
        processor.shutdown()


@pytest.mark.parametrize(("seconds", "told"), [("10", False), ("60", False), ("60.5", True), ("5000", True)])
@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_timeout_of_more_than_a_minute_is_told(
    name: str, seconds: str, told: bool, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A timeout that was meant in milliseconds is told at the start with its unit."""
    variables = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, name: seconds}
    (processor,) = span_processors(variables)
    processor.shutdown()
    start = f"{name} is {seconds}: these are seconds, "
    assert [record.getMessage().startswith(start) for record in caplog.records] == [True] * told


def test_older_name_of_console_prints() -> None:
    """``logging`` is the specification's older name of ``console``."""
    (processor,) = span_processors({"OTEL_TRACES_EXPORTER": "logging,console"})
    assert type(processor.span_exporter) is ConsoleSpanExporter  # type: ignore[attr-defined]
    processor.shutdown()


def test_disabled_sdk_exports_nothing() -> None:
    """With OTEL_SDK_DISABLED no exporter is made, whatever the other variables say."""
    variables = {"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"}
    assert (span_processors(variables), metric_readers(variables)) == ((), ())


def test_exporter_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed exporter that fails gives one sentence, without the failure's text, which may hold a secret."""
    failing = EntryPoint("broken", "tests.nowhere:Exporter", "opentelemetry_traces_exporter")
    monkeypatch.setattr(otlp, "entry_points", lambda **_: EntryPoints([failing]))
    with pytest.raises(ExportSettingsError) as error:
        span_processors({"OTEL_TRACES_EXPORTER": "broken"})
    assert str(error.value) == ("OTEL_TRACES_EXPORTER names 'broken', whose exporter cannot be made: ModuleNotFoundError.")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        (
            "OTEL_TRACES_EXPORTER",
            "otlp,zipkin",
            "a list of console, otlp, otlp_proto_grpc, otlp_proto_http is allowed, or none.",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc and http/protobuf are allowed."),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4317",
            "a URL as in http://collector:4317 is allowed, without query and fragment.",
        ),
    ],
)
def test_value_that_is_not_allowed_raises_one_sentence(name: str, value: str, allowed: str) -> None:
    """The error names the variable, its value and what is allowed."""
    with pytest.raises(ExportSettingsError) as error:
        span_processors({"OTEL_TRACES_EXPORTER": "otlp", name: value})
    assert str(error.value) == f"{name} is {value!r}: {allowed}"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_missing_exporter_raises_one_sentence(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra `otlp` the error names the missing module and the extra."""
    module = f"opentelemetry.exporter.otlp.proto.{protocol.removesuffix('/protobuf')}.trace_exporter"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExportSettingsError) as error:
        span_processors({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert str(error.value) == f"OTLP over {protocol} needs the module {module}: install agentos-telemetry[otlp]."


def test_service_name_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SERVICE_NAME wins over a service.name among OTEL_RESOURCE_ATTRIBUTES, as the specification requires."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,team=blue")
    found = resource("unnamed").attributes
    assert (found["service.name"], found["team"]) == ("shop", "blue")


FAILED, DONE = SpanExportResult.FAILURE, SpanExportResult.SUCCESS


@pytest.fixture
def outage() -> Outage:
    return Outage("traces", "http://collector:4317")


def test_pauses_grow_up_to_five_seconds(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure in a row doubles the pause before the next try; after a success the next batch is sent at once."""
    waited: list[float] = []
    monkeypatch.setattr(outage._stop, "wait", waited.append)
    for result in [FAILED] * 7 + [DONE] * 2:
        outage.back_off()
        outage.run_export(lambda answer=result: answer, 1)
    assert waited == [2, 4, 5, 5, 5, 5, 5]


def test_pauses_stay_at_five_seconds_in_a_long_outage(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    """After thousands of failures, where 2 to their number is no float any more, the exporter still tries every 5 seconds."""
    waited: list[float] = []
    monkeypatch.setattr(outage._stop, "wait", waited.append)
    for _ in range(2_000):
        outage.run_export(lambda: FAILED, 1)
    outage.back_off()
    assert waited == [5]


def test_end_of_an_outage_is_logged_with_what_was_lost(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    """The second of the two lines has the number of items that failed exports held, and how many exports failed."""
    for result, items in ((FAILED, 3), (FAILED, 4), (DONE, 5), (DONE, 6)):
        outage.run_export(lambda answer=result: answer, items)
    assert [record.getMessage() for record in caplog.records] == [
        "traces do not reach http://collector:4317, trying on with growing pauses: the export failed",
        "traces reach http://collector:4317 again, 7 were lost after 2 failed exports",
    ]


def test_exception_of_an_exporter_begins_an_outage(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    """An exporter that raises did not reach its destination; the exception goes on to the SDK."""
    with pytest.raises(ZeroDivisionError):
        outage.run_export(lambda: 1 // 0, 1)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "ZeroDivisionError('integer division or modulo by zero')"
    ]


def test_shutdown_during_an_outage_gives_up(outage: Outage) -> None:
    """Without an outage what is left is still sent at shutdown; with one it is not tried."""
    outage.stop_backoff()
    assert not outage.given_up
    outage.run_export(lambda: FAILED, 1)
    assert outage.given_up
