"""Push, as the standard ``OTEL_*`` variables ask for it: OTLP exporters for traces and metrics.

Nothing is sent unless asked for: a signal is exported where ``OTEL_TRACES_EXPORTER`` / ``OTEL_METRICS_EXPORTER`` is ``otlp``,
or where it is unset and an OTLP endpoint is given. Headers, compression, timeouts, certificates, temporality, batching and
sampling keep their own variables, which the SDK reads.
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from telemetry.pipeline.outage import Outage, capture_logs

if TYPE_CHECKING:
    from telemetry.prefork import Workers

__all__ = ["ExportSettingsError", "metric_readers", "resource", "span_processors"]

_PROTOCOLS = ("grpc", "http/protobuf")
_DEFAULT_ENDPOINTS = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}


class ExportSettingsError(ValueError):
    """An ``OTEL_*`` variable that cannot be followed; one sentence with its name, value and what is allowed."""


def resource(service_name: str, workers: Workers | None = None) -> Resource:
    """The process as ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` describe it, with an instance id of its own.

    Two processes that push the same series need ids to be told apart by. So of several ``workers`` an id that is given is that
    of the run, and what each pushes has one made from it.
    """
    given = OTELResourceDetector().detect().attributes
    defaults = {SERVICE_NAME: service_name, SERVICE_INSTANCE_ID: str(uuid.uuid4())}
    made = Resource.create({key: value for key, value in defaults.items() if key not in given})
    if workers is None or SERVICE_INSTANCE_ID not in given:
        return made
    workers.instance = str(given[SERVICE_INSTANCE_ID])
    return made.merge(Resource({SERVICE_INSTANCE_ID: f"{workers.instance}-{uuid.uuid4().hex[:8]}"}))


def span_processors(environ: Mapping[str, str] = os.environ) -> Sequence[SpanProcessor]:
    """A batch processor in front of the OTLP exporter, or none. Raises ``ExportSettingsError``."""
    if not _asked_for("TRACES", environ):
        return ()
    endpoint, protocol = _endpoint("TRACES", environ)
    outage = Outage("traces", endpoint)
    return (_SpanProcessor(_SpanExporter(_otlp_spans(protocol), outage)),)


def metric_readers(environ: Mapping[str, str] = os.environ) -> Sequence[MetricReader]:
    """A periodic reader in front of the OTLP exporter, or none. Raises ``ExportSettingsError``."""
    if not _asked_for("METRICS", environ):
        return ()
    endpoint, protocol = _endpoint("METRICS", environ)
    return (_MetricReader(_otlp_metrics(protocol, Outage("metrics", endpoint))),)


def _asked_for(signal: str, environ: Mapping[str, str]) -> bool:
    variable = f"OTEL_{signal}_EXPORTER"
    named = environ.get(variable, "").strip().lower()
    if not named:
        variables = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        return any(environ.get(name, "").strip() for name in variables)
    # /metrics is always served: a list that names prometheus asks for what is there.
    names = {name.strip() for name in named.split(",")} - ({"prometheus"} if signal == "METRICS" else set())
    if names - {"otlp", "none"}:
        raise ExportSettingsError(f"{variable} is {named!r}: otlp and none are what can be exported to.")
    return "otlp" in names


def _endpoint(signal: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Where the signal goes, without any credential of the URL, and by which protocol."""
    protocol = _given(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL", environ)
    name, value = protocol or ("", "grpc")
    if value not in _PROTOCOLS:
        raise ExportSettingsError(f"{name} is {value!r}: grpc and http/protobuf are allowed.")
    endpoint = _given(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", environ)
    variable, url = endpoint or ("", _DEFAULT_ENDPOINTS[value])
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(url):
        raise ExportSettingsError(f"{variable} is {url!r}: a URL as in http://collector:4317 is allowed.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", value


def _has_port(url: str) -> bool:
    """Whether the port, if one is given, is one."""
    try:
        urlsplit(url).port  # noqa: B018 - reading it is the check
    except ValueError:
        return False
    return True


def _given(first: str, second: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    return next(((name, environ[name].strip()) for name in (first, second) if environ.get(name, "").strip()), None)


def _otlp_spans(protocol: str) -> SpanExporter:
    if protocol == "grpc":
        _quiet_grpc()
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http()


def _otlp_metrics(protocol: str, outage: Outage) -> MetricExporter:
    """The exporter, with its failures told by ``outage``. A subclass, for the reader asks it for its temporality."""
    base: Any
    if protocol == "grpc":
        _quiet_grpc()
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

        base = Grpc
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http

        base = Http

    class Exporter(base):  # type: ignore[misc]  # the base is one of two classes
        outage: Outage

        down = False

        def export(self, *args: Any, **kwargs: Any) -> Any:
            return self.outage.run_export(lambda: super(Exporter, self).export(*args, **kwargs), 1)

        def shutdown(self, *args: Any, **kwargs: Any) -> None:
            if not self.down:
                self.down = True
                super().shutdown(*args, **kwargs)

    exporter: Any = Exporter()
    exporter.outage = outage
    return exporter  # type: ignore[no-any-return]  # as above


def _quiet_grpc() -> None:
    """gRPC's C core writes to stderr past the logging: a TLS mismatch would fill it, and the exporter tells it anyway."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


class _SpanExporter(SpanExporter):
    """Tells an outage once, and waits longer from failure to failure while it lasts."""

    def __init__(self, exporter: SpanExporter, outage: Outage) -> None:
        self._exporter = exporter
        self._down = False
        self.outage = outage
        capture_logs()

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        """In the batch processor's own thread: while it waits here the queue keeps the newest spans, bounded."""
        self.outage.back_off()
        if self.outage.given_up:
            return SpanExportResult.FAILURE
        return self.outage.run_export(lambda: self._exporter.export(spans), len(spans))

    def shutdown(self) -> None:
        if not self._down:
            self._down = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _SpanProcessor(BatchSpanProcessor):
    """Does not wait at shutdown for a collector that is away."""

    def __init__(self, exporter: _SpanExporter) -> None:
        super().__init__(exporter)
        self._ours = exporter

    def shutdown(self) -> None:
        if self._ours.outage.stop_backoff():
            self._ours.shutdown()  # what is left is refused at once
        super().shutdown()  # type: ignore[no-untyped-call]  # the SDK left it untyped


class _MetricReader(PeriodicExportingMetricReader):
    """As ``_SpanProcessor``: a collector that is away ends the last export's retries."""

    def __init__(self, exporter: Any) -> None:
        self._ours = exporter
        capture_logs()
        super().__init__(exporter)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        if self._ours.outage.stop_backoff():
            self._ours.shutdown()
        super().shutdown(timeout_millis, **kwargs)
