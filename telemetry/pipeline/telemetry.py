"""One object a process: providers, readers, resource, instruments; started when it is built, ended by ``shutdown``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider as APIMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from opentelemetry.trace import TracerProvider as APITracerProvider
from prometheus_client import CollectorRegistry

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.fork import register_after_fork
from telemetry.exposition import PrometheusReader
from telemetry.instruments.factory import create_instrument
from telemetry.instruments.instrument import Instrument, Runtime
from telemetry.instruments.views import MAX_SERIES, views
from telemetry.metric.definition import Catalogue, Kind, Metric
from telemetry.metric.label_values import Domains
from telemetry.pipeline import otlp
from telemetry.pipeline.self_metrics import observe_self

if TYPE_CHECKING:
    from telemetry.prefork import Workers

__all__ = ["SCOPE", "Telemetry"]

SCOPE = "agentos.telemetry"
"""Name of the meter and the tracer."""


class Telemetry:
    """The metrics of a catalogue, recorded through OpenTelemetry and served to Prometheus.

    ``known`` and ``limits`` bound the open labels, by label key; ``max_series`` is how many series one metric may have at the
    most. ``strict``: wrong labels raise. ``span_processors`` switch tracing on; without them, and without a ``tracer_provider``
    of the host's, spans have ids but are not sampled. ``metric_readers`` are added beside the Prometheus reader, which shows
    what ``select(scope name, instrument name)`` lets through. A host with a ``meter_provider`` of its own gives it, and adds
    ``views(catalogue)`` and ``reader`` to it itself. With ``workers`` a scrape shows the totals of all workers of a run.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        resource: Resource | None = None,
        strict: bool = False,
        known: Mapping[str, Collection[str]] = MappingProxyType({}),
        limits: Mapping[str, int] = MappingProxyType({}),
        max_series: int = MAX_SERIES,
        span_processors: Sequence[SpanProcessor] = (),
        metric_readers: Sequence[MetricReader] = (),
        sampler: Sampler | None = None,
        tracer_provider: APITracerProvider | None = None,
        meter_provider: APIMeterProvider | None = None,
        created: bool = False,
        select: Callable[[str, str], bool] | None = None,
        workers: Workers | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.catalogue = catalogue
        self.diagnostics = Diagnostics()
        self.resource = resource or Resource.create()
        self.domains = Domains(catalogue, self.diagnostics, known=known, limits=limits, strict=strict)
        self.reader = self._new_reader(created, select)
        shown = views(catalogue, self.domains, max_series=max_series)
        self.meter_provider = meter_provider or MeterProvider(
            [self.reader, *metric_readers], self.resource, shutdown_on_exit=False, views=shown
        )
        self.tracer_provider = tracer_provider or _tracer_provider(self.resource, span_processors, sampler)
        self.tracer = self.tracer_provider.get_tracer(SCOPE)
        self.runtime = Runtime(self.domains, self.diagnostics, self.tracer, clock)
        meter = self.meter_provider.get_meter(SCOPE)
        self._instruments = {metric.name: create_instrument(metric, meter, self.runtime) for metric in catalogue}
        observe_self(self._instruments, self.reader)
        providers = ((self.meter_provider, meter_provider), (self.tracer_provider, tracer_provider))
        self._owned = [provider for provider, given in providers if given is None]
        self._lock, self.workers = Lock(), workers
        register_after_fork(self._after_fork_in_child)
        if workers is not None:
            self.reader.share(
                workers, domains=self.domains, multiprocess_modes={m.name: m.multiprocess_mode for m in catalogue}
            )

    _down = False

    def _new_reader(self, created: bool, select: Callable[[str, str], bool] | None) -> PrometheusReader:
        self.registry = CollectorRegistry(auto_describe=False)
        info = {metric.name for metric in self.catalogue if metric.kind is Kind.INFO}
        return PrometheusReader(
            scope_info_enabled=False,
            registry=self.registry,
            info=info,
            created=created,
            select=select,
            diagnostics=self.diagnostics,
        )

    def _after_fork_in_child(self) -> None:
        """A forked child has the series of its parent, at 0, and none of the locks of threads that are not here."""
        self._lock = Lock()
        for domain in self.domains:
            domain.reset_after_fork()
        for one in self.instruments:
            one.reset_after_fork()

    @classmethod
    def from_environment(cls, catalogue: Catalogue, *, service_name: str = "unknown_service", **options: Any) -> Self:
        """As the standard ``OTEL_*`` variables say: resource, sampler, OTLP push. Raises ``ExportSettingsError``."""
        return cls(
            catalogue,
            resource=otlp.resource(service_name, options.get("workers")),
            span_processors=otlp.span_processors(),
            metric_readers=otlp.metric_readers(),
            **options,
        )

    def __getitem__(self, metric: Metric) -> Any:
        """The metric's instrument; ``KeyError`` where the catalogue has none such."""
        found = self._instruments.get(metric.name)
        if found is None:
            raise KeyError(f"{metric.prometheus_name} is not recorded here")
        return found

    @property
    def instruments(self) -> list[Instrument[Any]]:
        """All instruments that can be recorded."""
        return list(self._instruments.values())

    def start_at_zero(self, metric: Metric, **open_labels: str) -> None:
        """Start the metric's series at 0 for the closed values of its other labels: ``increase`` then sees the first event."""
        combinations: list[dict[str, str]] = [dict(open_labels)]
        for label in metric.labels:
            if label.key not in open_labels:
                combinations = [{**labels, label.key: value} for labels in combinations for value in label.start]
        for labels in combinations:
            self[metric].labels(**labels).start()

    def offer_globally(self) -> None:
        """Become OpenTelemetry's global tracer provider where nobody has set one: spans of other libraries join our traces.

        The meter provider stays our own: what other libraries would record has no place on /metrics.
        """
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self.tracer_provider)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Flush and stop what this object made, once; never raises. What is recorded afterwards is kept by nobody."""
        with self._lock:
            if self._down:
                return
            self._down = True
        if self.workers is not None:
            self.workers.close()
        for provider in self._owned:
            try:
                _shut_down(provider, timeout_millis)
            except Exception as error:
                self.diagnostics.log_once(("shutdown", type(error)), "telemetry: shutdown failed: %r", error)


def _shut_down(provider: Any, timeout_millis: float) -> None:
    if isinstance(provider, MeterProvider):
        provider.shutdown(timeout_millis=timeout_millis)
    else:
        provider.shutdown()


def _tracer_provider(resource: Resource, processors: Sequence[SpanProcessor], sampler: Sampler | None) -> TracerProvider:
    provider = TracerProvider(sampler=sampler if processors else ALWAYS_OFF, resource=resource, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider
