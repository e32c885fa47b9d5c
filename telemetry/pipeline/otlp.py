"""Push, as the standard ``OTEL_*`` variables ask for it: exporters for traces and metrics.

``OTEL_TRACES_EXPORTER`` and ``OTEL_METRICS_EXPORTER`` list the exporters: ``otlp``, ``console``, ``none``, and those that
installed packages register for the SDK. Where the variable is unset, an OTLP endpoint asks for ``otlp``. Headers, compression,
timeouts, certificates, temporality, batching and sampling keep their own variables, which the SDK reads.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#exporter-selection
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricReader, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from telemetry._base.otel_settings import PROTOCOLS, ExportSettingsError, check, first_set, import_grpc
from telemetry._base.printable import printable
from telemetry._base.reentry import alone, defer, deferred, run_deferred
from telemetry.pipeline.carriable import carriable
from telemetry.pipeline.otlp_http import Answers, guarded_session
from telemetry.pipeline.outage import Outage
from telemetry.tracing.provider import is_sdk_disabled

if TYPE_CHECKING:
    from telemetry.prefork import Workers

__all__ = ["ExportSettingsError", "metric_readers", "resource", "shut_down", "span_processors"]

_TOLD = 100
"""Metrics that the log names."""
_log = logging.getLogger(__name__)

M = TypeVar("M", SpanProcessor, MetricReader)

_GROUPS = {"TRACES": "opentelemetry_traces_exporter", "METRICS": "opentelemetry_metrics_exporter"}
"""Groups of entry points in which packages register exporters for the SDK."""
_CLASSES = {"TRACES": ("trace_exporter", "OTLPSpanExporter"), "METRICS": ("metric_exporter", "OTLPMetricExporter")}
"""Module and class of the SDK's OTLP exporters."""
_OTLP = {"otlp": None, "otlp_proto_grpc": "grpc", "otlp_proto_http": "http/protobuf"}
"""Names of the OTLP exporters, with the protocol where the name says it."""
_LONG_EXPORT = 60.0
"""Seconds that an export may take without a word about it."""
_log = logging.getLogger(__name__)


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
    """Returns a batch processor for each exporter of ``OTEL_TRACES_EXPORTER``. Raises ``ExportSettingsError``."""
    check(environ, ["TRACES"])
    return _made("TRACES", _exporters("TRACES", environ), partial(_span_processor, environ=environ))


def _span_processor(name: str, environ: Mapping[str, str]) -> SpanProcessor:
    if name == "console":
        return BatchSpanProcessor(ConsoleSpanExporter())
    if name not in _OTLP:
        return BatchSpanProcessor(_installed("TRACES", name))
    endpoint, protocol = _destination("TRACES", name, environ)
    exporter = _exporter("TRACES", protocol, Outage("traces", endpoint), environ)
    processor: SpanProcessor = _without_waiting(_Batches, exporter)
    return processor


def metric_readers(environ: Mapping[str, str] = os.environ) -> Sequence[MetricReader]:
    """Returns a reader for each exporter of ``OTEL_METRICS_EXPORTER``. Raises ``ExportSettingsError``.

    ``prometheus`` and ``agentos`` ask for nothing more: ``/metrics`` is served anyway.
    """
    check(environ, ["METRICS"])
    return _made("METRICS", _exporters("METRICS", environ), partial(_metric_reader, environ=environ))


def _metric_reader(name: str, environ: Mapping[str, str]) -> MetricReader:
    if name == "console":
        return PeriodicExportingMetricReader(ConsoleMetricExporter())
    if name not in _OTLP:
        made = _installed("METRICS", name)
        return made if isinstance(made, MetricReader) else PeriodicExportingMetricReader(made)
    endpoint, protocol = _destination("METRICS", name, environ)
    outage = Outage("metrics", endpoint, longest_pause=0)  # the reader has an interval of its own
    reader: MetricReader = _without_waiting(_Reader, _exporter("METRICS", protocol, outage, environ))
    return reader


def _made(signal: str, names: Sequence[str], make: Callable[[str], M]) -> Sequence[M]:
    """Makes one for each name; where one cannot be made, the others are shut down again."""
    made: list[M] = []
    try:
        for name in names:
            made.append(make(name))
    except BaseException as error:
        shut_down(made)
        if isinstance(error, ExportSettingsError) or not isinstance(error, Exception):
            raise
        # Of a package's modules, or of its settings: the text is told at debug only, it may hold a header or a password.
        _log.debug("the exporter %s of %s cannot be made", name, signal, exc_info=error)
        failed = f"OTEL_{signal}_EXPORTER names {name!r}, whose exporter cannot be made: {type(error).__name__}."
        raise ExportSettingsError(failed) from None
    return tuple(made)


def shut_down(made: Sequence[SpanProcessor | MetricReader]) -> None:
    """Ends the threads of processors and readers that nothing uses."""
    for each in made:
        with suppress(Exception):
            each.shutdown()


def _exporters(signal: str, environ: Mapping[str, str]) -> list[str]:
    """Returns the names of the signal's exporters, each once."""
    if is_sdk_disabled(environ):
        return []
    variable = f"OTEL_{signal}_EXPORTER"
    value = environ.get(variable, "").strip()
    if not value:
        endpoint = first_set(environ, "OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")[1]
        return ["otlp"] if endpoint else []
    served = {"prometheus", "agentos"} if signal == "METRICS" else set()
    names = [
        name for name in dict.fromkeys(part.strip().lower() for part in value.split(",")) if name not in ("", "none", *served)
    ]
    installed = set(entry_points(group=_GROUPS[signal]).names) - served - {"none"}
    allowed = sorted({"otlp", "console"} | installed)
    if "logging" not in installed:  # the specification's older name of console
        names = list(dict.fromkeys("console" if name == "logging" else name for name in names))
    shown = printable(value, 100)
    for name in names:
        if name not in allowed:
            raise ExportSettingsError(f"{variable} is {shown!r}: a list of {', '.join(allowed)} is allowed, or none.")
    return _each_exporter_once(signal, names, environ)


def _each_exporter_once(signal: str, names: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Leaves out the second name of an OTLP exporter: it would push everything twice."""
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(f"OTLP over {_protocol(signal, name, environ)}" if name in _OTLP else name, name)
    return list(kept.values())


def _installed(signal: str, name: str) -> Any:
    """Returns an exporter, or a reader, of the class that an installed package registers for the SDK under this name."""
    (found, *_) = entry_points(group=_GROUPS[signal], name=name)
    return found.load()()


def _protocol(signal: str, name: str, environ: Mapping[str, str]) -> str:
    given = first_set(environ, f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")[1]
    return _OTLP[name] or given or "grpc"


def _destination(signal: str, name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Returns the signal's endpoint, without any credential of the URL, and the exporter's protocol."""
    protocol = _protocol(signal, name, environ)
    url = first_set(environ, f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")[1]
    parts = urlsplit(url or PROTOCOLS[protocol])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", protocol


def _options(signal: str, protocol: str, answers: Answers | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns the exporter's arguments: gRPC's knows no ``none`` among the values of the compression's variable."""
    if answers is not None:
        return {"session": guarded_session(signal, answers, environ)}
    given = first_set(environ, f"OTEL_EXPORTER_OTLP_{signal}_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")[1]
    if protocol != "grpc" or given.lower() != "none":
        return {}
    return {"compression": import_grpc("grpc").Compression.NoCompression}


def _announce_timeout(signal: str, environ: Mapping[str, str]) -> None:
    """Says in the log how long an export may take, where that is more than ``_LONG_EXPORT``."""
    name, value = first_set(environ, f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    if value and float(value) > _LONG_EXPORT:
        message = (
            "%s is %s: these are seconds, as the SDK for Python reads them, and not milliseconds; one export may take so long"
        )
        _log.warning(message, name, value)


def _exporter(signal: str, protocol: str, outage: Outage, environ: Mapping[str, str]) -> Any:
    """Returns an OTLP exporter that reports to ``outage``: a subclass, since the SDK's reader asks it for its temporality."""
    base: Any = _exporter_class(*_CLASSES[signal], protocol)
    answers = None if protocol == "grpc" else Answers(signal)
    options = _options(signal, protocol, answers, environ)
    _announce_timeout(signal, environ)
    told: set[str] = set()

    def left_out(name: str) -> None:
        if name not in told and len(told) < _TOLD:
            told.add(name)
            _log.warning(
                "a number of %s cannot be pushed: OTLP has neither an integer nor a double for it", printable(name, 100)
            )

    class Exporter(base):  # type: ignore[misc]  # the base is one of four classes
        def __init__(self) -> None:
            super().__init__(**options)
            self.stopped = False

        def export(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
            outage.back_off()  # meanwhile the batch processor's queue keeps the newest spans
            if outage.given_up:
                self.shutdown()  # the batches that are left are refused at once
            items = len(batch) if isinstance(batch, Sequence) else 1
            if isinstance(batch, MetricsData):
                batch = carriable(batch, left_out)
            export = partial(super().export, batch, *args, **kwargs)
            return outage.run_export(export if answers is None else partial(_answered, export, answers, outage), items)

        def stop_backoff(self) -> None:
            outage.stop_backoff()
            if outage.given_up:
                self.shutdown()

        def shutdown(self, *args: Any, **kwargs: Any) -> None:
            if not self.stopped:
                self.stopped = True
                super().shutdown(*args, **kwargs)

    return Exporter()


def _answered(export: Callable[[], Any], answers: Answers, outage: Outage) -> Any:
    """Runs one export over HTTP; returns its result, a failure where the answer says so."""
    answers.clear()
    result = export()
    if result.name != "SUCCESS":
        return result
    if answers.failure is not None:
        outage.begin(answers.failure)
        return type(result).FAILURE
    outage.reject(answers.rejected, answers.message)
    return result


def _exporter_class(module: str, name: str, protocol: str) -> Any:
    package = f"opentelemetry.exporter.otlp.proto.{protocol.removesuffix('/protobuf')}"
    try:
        return getattr(import_grpc(f"{package}.{module}"), name)
    except ModuleNotFoundError as error:
        missing = f"OTLP over {protocol} needs the module {error.name}: install agentos-telemetry[otlp]."
        raise ExportSettingsError(missing) from None


class _Batches(BatchSpanProcessor):
    """Takes spans that end while this thread ends another one: the queue wakes its thread under a plain lock."""

    def on_end(self, span: ReadableSpan) -> None:
        if not alone(_never, super().on_end, span):
            defer(partial(self._end_deferred, span))
        elif deferred:
            run_deferred()

    def _end_deferred(self, span: ReadableSpan) -> bool:
        return alone(_never, super().on_end, span)


class _Reader(PeriodicExportingMetricReader):
    """Collects deferred measurements too."""

    def collect(self, timeout_millis: float = 10_000) -> None:  # type: ignore[misc]  # final, but what else could come before it
        run_deferred()
        super().collect(timeout_millis)


def _never() -> bool:
    return False


def _without_waiting(base: Any, exporter: Any) -> Any:
    """Returns a ``base`` in front of the exporter that does not wait at shutdown for a collector that is away."""

    class Pushing(base):  # type: ignore[misc]  # the base is the span processor or the metric reader
        def shutdown(self, *args: Any, **kwargs: Any) -> None:
            exporter.stop_backoff()
            super().shutdown(*args, **kwargs)

    return Pushing(exporter)
