"""Push, as the standard ``OTEL_*`` variables ask for it: OTLP exporters for traces and metrics.

A signal is exported where ``OTEL_TRACES_EXPORTER`` / ``OTEL_METRICS_EXPORTER`` is ``otlp``, or where it is unset and an OTLP
endpoint is given. Headers, compression, timeouts, certificates, temporality, batching and sampling keep their own
variables, which the SDK reads.
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from telemetry.pipeline.outage import Outage

if TYPE_CHECKING:
    from telemetry.prefork import Workers

__all__ = ["ExportSettingsError", "metric_readers", "resource", "span_processors"]

_DEFAULT_ENDPOINTS = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}


class ExportSettingsError(ValueError):
    """An ``OTEL_*`` variable has a value that is not allowed; one sentence with its name, its value and what is allowed."""


def resource(service_name: str, workers: Workers | None = None) -> Resource:
    """Returns the resource that the variables describe, with an instance id of its own.

    Two processes that push the same series must have different ids. With several ``workers``, an id that the variables give
    is that of the run, and each worker pushes under an id made from it.

    Args:
        service_name: The service's name where no variable gives one.
        workers: The workers of the run; their ``instance`` is set to a given id.
    """
    given = OTELResourceDetector().detect().attributes
    defaults = {SERVICE_NAME: service_name, SERVICE_INSTANCE_ID: str(uuid.uuid4())}
    made = Resource.create({key: value for key, value in defaults.items() if key not in given})
    if workers is None or SERVICE_INSTANCE_ID not in given:
        return made
    workers.instance = str(given[SERVICE_INSTANCE_ID])
    return made.merge(Resource({SERVICE_INSTANCE_ID: f"{workers.instance}-{uuid.uuid4().hex[:8]}"}))


def span_processors(environ: Mapping[str, str] = os.environ) -> Sequence[SpanProcessor]:
    """Returns a batch processor in front of the OTLP exporter, or none. Raises ``ExportSettingsError``."""
    if not _asked_for("TRACES", environ):
        return ()
    endpoint, protocol = _destination("TRACES", environ)
    exporter = _exporter("trace_exporter", "OTLPSpanExporter", protocol, Outage("traces", endpoint))
    return (_without_waiting(BatchSpanProcessor, exporter),)


def metric_readers(environ: Mapping[str, str] = os.environ) -> Sequence[MetricReader]:
    """Returns a periodic reader in front of the OTLP exporter, or none. Raises ``ExportSettingsError``."""
    if not _asked_for("METRICS", environ):
        return ()
    endpoint, protocol = _destination("METRICS", environ)
    outage = Outage("metrics", endpoint, longest_pause=0)  # the reader has an interval of its own
    return (
        _without_waiting(PeriodicExportingMetricReader, _exporter("metric_exporter", "OTLPMetricExporter", protocol, outage)),
    )


def _asked_for(signal: str, environ: Mapping[str, str]) -> bool:
    variable = f"OTEL_{signal}_EXPORTER"
    named = environ.get(variable, "").strip().lower()
    if not named:
        return _first_set(environ, "OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")[1] != ""
    # /metrics is always served, so that a list which names prometheus asks for nothing more.
    names = {name.strip() for name in named.split(",")} - ({"prometheus"} if signal == "METRICS" else set())
    if names - {"otlp", "none"}:
        raise ExportSettingsError(f"{variable} is {named!r}: otlp and none are what can be exported to.")
    return "otlp" in names


def _destination(signal: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Returns the signal's endpoint, without any credential of the URL, and its protocol."""
    name, protocol = _first_set(environ, f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = protocol or "grpc"
    if protocol not in _DEFAULT_ENDPOINTS:
        raise ExportSettingsError(f"{name} is {protocol!r}: grpc and http/protobuf are allowed.")
    name, url = _first_set(environ, f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    url = url or _DEFAULT_ENDPOINTS[protocol]
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_valid_port(url):
        raise ExportSettingsError(f"{name} is {url!r}: a URL as in http://collector:4317 is allowed.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", protocol


def _has_valid_port(url: str) -> bool:
    """Returns whether the URL has no port, or one that is a port number."""
    try:
        urlsplit(url).port  # noqa: B018 - reading it is the check
    except ValueError:
        return False
    return True


def _first_set(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """Returns the first of the variables that is set, and its value; two empty strings if none is."""
    return next(((name, value) for name in names if (value := environ.get(name, "").strip())), ("", ""))


def _exporter(module: str, name: str, protocol: str, outage: Outage) -> Any:
    """Returns an OTLP exporter that reports to ``outage``: a subclass, since the SDK's reader asks it for its temporality."""
    base: Any = _exporter_class(module, name, protocol)

    class Exporter(base):  # type: ignore[misc]  # the base is one of four classes
        def __init__(self) -> None:
            super().__init__()
            self.stopped = False

        def export(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
            outage.back_off()  # meanwhile the batch processor's queue keeps the newest spans
            if outage.given_up:
                self.shutdown()  # the batches that are left are refused at once
            items = len(batch) if isinstance(batch, Sequence) else 1
            return outage.run_export(partial(super().export, batch, *args, **kwargs), items)

        def stop_backoff(self) -> None:
            outage.stop_backoff()
            if outage.given_up:
                self.shutdown()

        def shutdown(self, *args: Any, **kwargs: Any) -> None:
            if not self.stopped:
                self.stopped = True
                super().shutdown(*args, **kwargs)

    return Exporter()


def _exporter_class(module: str, name: str, protocol: str) -> Any:
    if protocol == "grpc":
        # gRPC's C core writes to stderr past the logging: a TLS mismatch would fill it, and the exporter logs that anyway.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    package = f"opentelemetry.exporter.otlp.proto.{protocol.removesuffix('/protobuf')}"
    try:
        return getattr(import_module(f"{package}.{module}"), name)
    except ModuleNotFoundError as error:
        missing = f"OTLP over {protocol} needs the module {error.name}: install agentos-telemetry[otlp]."
        raise ExportSettingsError(missing) from None


def _without_waiting(base: Any, exporter: Any) -> Any:
    """Returns a ``base`` in front of the exporter that does not wait at shutdown for a collector that is away."""

    class Pushing(base):  # type: ignore[misc]  # the base is the span processor or the metric reader
        def shutdown(self, *args: Any, **kwargs: Any) -> None:
            exporter.stop_backoff()
            super().shutdown(*args, **kwargs)

    return Pushing(exporter)
