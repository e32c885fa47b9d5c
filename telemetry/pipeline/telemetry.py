"""``Telemetry``: one object a process with its providers, readers, resource and instruments."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar, Unpack, overload

from opentelemetry.metrics import MeterProvider as APIMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import TracerProvider as APITracerProvider
from prometheus_client import CollectorRegistry

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.fork import register_after_fork
from telemetry._sdk.dropped_spans import dropping
from telemetry._sdk.limits import least_cardinality_limit
from telemetry.exposition.reader import PrometheusReader
from telemetry.instruments.factory import create_instrument
from telemetry.instruments.gauge import Gauge
from telemetry.instruments.instrument import Counter, Histogram, Instrument, Runtime, UpDownCounter
from telemetry.instruments.observable import Info, Observed
from telemetry.instruments.views import MAX_SERIES, views
from telemetry.metric.definition import (
    Catalogue,
    CounterKind,
    GaugeKind,
    HistogramKind,
    InfoKind,
    Kind,
    Metric,
    Native,
    ObservableKind,
    UpDownCounterKind,
)
from telemetry.metric.label_values import Domains
from telemetry.pipeline.self_metrics import observe_self
from telemetry.tracing.provider import GlobalTracerProvider, host_provider_is_set, offer_globally

if TYPE_CHECKING:
    from telemetry.prefork import Workers

__all__ = ["SCOPE", "EnvironmentOptions", "Telemetry", "TelemetryOptions"]

SCOPE = "agentos.telemetry"
"""Name of the meter and the tracer."""
P = TypeVar("P", MeterProvider, TracerProvider)
MeterProviderFactory = Callable[[list[MetricReader], list[View]], APIMeterProvider]
"""Builds a host's meter provider with these readers and Views beside its own."""


class EnvironmentOptions(TypedDict, total=False):
    """The arguments of ``Telemetry`` that no ``OTEL_*`` variable replaces: those of ``Telemetry.from_environment``."""

    strict: bool
    known: Mapping[str, Collection[str]]
    limits: Mapping[str, int]
    max_series: int
    sampler: Sampler | None
    tracer_provider: APITracerProvider | None
    meter_provider: APIMeterProvider | MeterProviderFactory | None
    created: bool
    native_histograms: Native | bool
    select: Callable[[str, str], bool] | None
    workers: Workers | Literal[False] | None
    clock: Callable[[], float]
    registry: CollectorRegistry | None


class TelemetryOptions(EnvironmentOptions, total=False):
    """All arguments of ``Telemetry`` after the catalogue, for subclasses that pass them on."""

    resource: Resource | None
    span_processors: Sequence[SpanProcessor]
    metric_readers: Sequence[MetricReader]


class Telemetry:
    """The metrics of a catalogue, recorded through OpenTelemetry and served to Prometheus. It works from its construction on.

    It joins what the host has set up: spans go to the global tracer provider, unless ``span_processors`` are given, and
    ``meter_provider`` may build the host's meter provider with our reader and Views in it.

    Args:
        catalogue: The metrics.
        resource: What the process is; by default what ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` say.
        strict: Whether wrong labels raise ``LabelError``; otherwise they are counted and logged once.
        known: Values that an open label has beside its limit, by label key.
        limits: How many other values an open label may take, by label key; by default as its definition says.
        max_series: How many series one metric may have at most.
        span_processors: Get the spans, from a tracer provider made here. Without them, and without a ``tracer_provider``, the
            global provider opens the spans, also one that is set later (``GlobalTracerProvider``).
        metric_readers: Readers beside the Prometheus reader.
        sampler: Chooses the spans that ``span_processors`` get; by default the SDK's, as ``OTEL_TRACES_SAMPLER`` says.
        tracer_provider: The host's own, used in place of the global one.
        meter_provider: The host's own, or a function that builds it: it is called with the list of our readers and the list of
            our Views. Without ``views(catalogue)``, a provider keeps as many series of a metric as the SDK's default allows.
        created: Whether OpenMetrics shows when each series began (``_created``).
        native_histograms: Native (exponential) buckets beside the explicit ones of every histogram, from the same measurement,
            for scrapers that ask for a format which has them; True for those of ``Native()``. A row's own ``native`` stays. A
            ``meter_provider`` that is built already needs them in its Views: ``views(catalogue, native_histograms=True)``.
        select: ``select(scope name, instrument name)`` says whether ``/metrics`` shows an instrument.
        workers: The workers of a run, for example ``Workers.detect()``; a scrape then shows the totals of all of them. Without
            them one of several workers logs a warning that its numbers stay its own; ``False`` says that they should.
        clock: Seconds from an arbitrary start, for durations.
        registry: A registry of ``prometheus_client``, for example its ``REGISTRY``. ``/metrics`` shows its collectors beside
            the catalogue, and ``generate_latest(registry)`` shows the catalogue too.

    Raises:
        CatalogueError: A metric could have more than ``max_series`` series.
        ValueError: ``span_processors`` stand beside a ``tracer_provider``, or ``metric_readers`` beside a ``meter_provider``
            that is built already: nothing would reach them.
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
        meter_provider: APIMeterProvider | MeterProviderFactory | None = None,
        created: bool = False,
        native_histograms: Native | bool = False,
        select: Callable[[str, str], bool] | None = None,
        workers: Workers | Literal[False] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.diagnostics = Diagnostics()
        self.resource = resource or Resource.create()
        self.domains = Domains(catalogue, self.diagnostics, known=known, limits=limits, strict=strict)
        self.registry = CollectorRegistry(auto_describe=False) if registry is None else registry
        self.reader = _prometheus_reader(self.registry, catalogue, self.diagnostics, created, select)
        self.reader.beside = registry
        self._owned: list[MeterProvider | TracerProvider] = []
        """The providers made here, which ``shutdown`` stops."""
        _check_unused(meter_provider, metric_readers, tracer_provider, span_processors)
        # Views are made in any case: they raise where the labels allow too many series.
        ours = views(catalogue, self.domains, max_series=max_series, native_histograms=native_histograms)
        self.meter_provider = self._meter_provider(meter_provider, [self.reader, *metric_readers], ours)
        self.tracer_provider = tracer_provider or self._tracer_provider(span_processors, sampler)
        self.tracer = self.tracer_provider.get_tracer(SCOPE)
        self.runtime = Runtime(self.domains, self.diagnostics, dropping(self.tracer), clock)
        meter = self.meter_provider.get_meter(SCOPE)
        self._instruments = {metric.name: create_instrument(metric, meter, self.runtime) for metric in catalogue}
        if self.meter_provider is meter_provider:
            self._warn_of_low_limits()
        observe_self(self._instruments, self.reader)
        self.workers = workers or None
        self._warns_alone = workers is None
        self._shutdowns = iter((True,))
        register_after_fork(self._after_fork_in_child)
        self._warn_alone()
        if self.workers is not None:
            modes = {name: metric.multiprocess_mode for name, metric in catalogue.by_name.items()}
            self.reader.share(self.workers, domains=self.domains, multiprocess_modes=modes)

    def _meter_provider(
        self, given: APIMeterProvider | MeterProviderFactory | None, readers: list[MetricReader], ours: list[View]
    ) -> APIMeterProvider:
        if isinstance(given, APIMeterProvider):
            return given
        if given is not None:
            made = given(readers, ours)
            if not isinstance(made, APIMeterProvider):
                raise TypeError(
                    f"meter_provider(readers, views) must return a MeterProvider, it returned {type(made).__name__}"
                )
            return made
        return self._own(MeterProvider(readers, self.resource, shutdown_on_exit=False, views=ours))

    def _warn_of_low_limits(self) -> None:
        """Logs, in one line, the metrics of which a provider that was built without our Views keeps too few series apart."""
        low = []
        for each in self.instruments:
            metric, allowed = each.metric, self.domains.series_limit(each.metric)
            if metric.cardinality_limit or isinstance(each, Info | Observed):
                continue
            kept = least_cardinality_limit(each.source.instrument)
            if kept is not None and kept < allowed:
                low.append(f"{metric.prometheus_name} ({kept} of {allowed})")
        if low:
            message = "the meter provider keeps fewer series apart than the labels allow, build it with views(catalogue): %s"
            self.diagnostics.log_once("low limits", message, ", ".join(low))

    def _tracer_provider(self, processors: Sequence[SpanProcessor], sampler: Sampler | None) -> APITracerProvider:
        if not processors:
            return GlobalTracerProvider()
        provider = TracerProvider(sampler=sampler, resource=self.resource, shutdown_on_exit=False)
        for processor in processors:
            provider.add_span_processor(processor)
        return self._own(provider)

    def _own(self, provider: P) -> P:
        self._owned.append(provider)
        return provider

    def _after_fork_in_child(self) -> None:
        """A forked child keeps its parent's series, at 0, and replaces locks that a thread of the parent may have held."""
        for domain in self.domains:
            domain.reset_after_fork()
        for instrument in self.instruments:
            instrument.reset_after_fork()
        self._warn_alone()

    def _warn_alone(self) -> None:
        """Says that this process' numbers are not merged, where it is one of several workers and was given none."""
        if not self._warns_alone:
            return
        from telemetry.prefork import is_worker

        if not is_worker():
            return
        from telemetry.prefork import missing_on_this_platform

        if not missing_on_this_platform():  # else ``Workers.detect`` has said what is missing
            self.diagnostics.log_once(
                "alone",
                "this process was started as a worker, and /metrics does not merge its numbers with other workers': "
                "give the telemetry workers=Workers.detect(), or workers=False if that is wanted",
            )

    @classmethod
    def from_environment(
        cls, catalogue: Catalogue, *, service_name: str = "unknown_service", **options: Unpack[EnvironmentOptions]
    ) -> Self:
        """Returns a telemetry as the standard ``OTEL_*`` variables describe it: resource, sampler, export.

        What the host exports is not exported a second time: where it has set the global tracer provider or gives a
        ``tracer_provider``, no span exporter is made, and where it gives a ``meter_provider`` that is built, no reader that
        pushes.

        Args:
            catalogue: The metrics.
            service_name: The service's name where no variable gives one.
            **options: Further arguments of the constructor: all but ``resource``, ``span_processors`` and ``metric_readers``.

        Blank variables are removed from the environment: they mean unset ones, and parts of the SDK fail on them.

        Raises:
            ExportSettingsError: A variable has a value that is not allowed.
        """
        # Here, because a telemetry whose settings are arguments needs neither the checks nor the exporters.
        from telemetry._base.otel_settings import check, unset_blank
        from telemetry.pipeline import otlp

        unset_blank(os.environ)
        check(os.environ, [])  # before the global provider is asked for, which a variable may name
        spans_are_exported = options.get("tracer_provider") is not None or host_provider_is_set()
        metrics_are_exported = isinstance(options.get("meter_provider"), APIMeterProvider)
        ours = {"TRACES": not spans_are_exported, "METRICS": not metrics_are_exported}
        check(os.environ, [signal for signal in ours if ours[signal]])
        found = otlp.resource(service_name, options.get("workers") or None)
        processors: Sequence[SpanProcessor] = ()
        readers: Sequence[MetricReader] = ()
        try:
            processors = () if spans_are_exported else otlp.span_processors()
            readers = () if metrics_are_exported else otlp.metric_readers()
            return cls(catalogue, resource=found, span_processors=processors, metric_readers=readers, **options)
        except BaseException:
            otlp.shut_down([*processors, *readers])
            raise

    @overload
    def __getitem__(self, metric: Metric[CounterKind]) -> Counter: ...
    @overload
    def __getitem__(self, metric: Metric[UpDownCounterKind]) -> UpDownCounter: ...
    @overload
    def __getitem__(self, metric: Metric[GaugeKind]) -> Gauge: ...
    @overload
    def __getitem__(self, metric: Metric[HistogramKind]) -> Histogram: ...
    @overload
    def __getitem__(self, metric: Metric[InfoKind]) -> Info: ...
    @overload
    def __getitem__(self, metric: Metric[ObservableKind]) -> Observed: ...
    @overload
    def __getitem__(self, metric: Metric) -> Any: ...
    def __getitem__(self, metric: Metric) -> Any:
        """Returns the metric's instrument, whose type follows from the metric's kind.

        Raises:
            KeyError: The catalogue lacks the metric.
        """
        found = self._instruments.get(metric.name)
        if found is None:
            raise KeyError(f"{metric.prometheus_name} is not recorded here")
        return found

    @property
    def instruments(self) -> list[Instrument[Any]]:
        """All instruments that can be recorded."""
        return list(self._instruments.values())

    def start_at_zero(self, metric: Metric, **open_labels: str) -> None:
        """Starts the metric's series at 0 for the closed values of its other labels, so that ``increase`` sees the first event.

        Args:
            metric: A counter, histogram or up-down counter of the catalogue.
            **open_labels: The values of its open labels, by label key.
        """
        combinations: list[dict[str, str]] = [dict(open_labels)]
        for label in metric.labels:
            if label.key not in open_labels:
                combinations = [{**labels, label.key: value} for labels in combinations for value in label.start]
        for labels in combinations:
            self[metric].labels(**labels).start()

    def offer_globally(self) -> None:
        """Sets OpenTelemetry's global tracer provider to the one made here if none is set: spans of other libraries join ours.

        Does nothing where no ``span_processors`` were given. The global meter provider stays as it is: measurements of other
        libraries have no place on ``/metrics``.
        """
        if self.tracer_provider in self._owned:
            offer_globally(self.tracer_provider)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Flushes and stops the providers made here, once; never raises. Measurements after shutdown are dropped.

        Args:
            timeout_millis: Milliseconds for the last export of the metric readers.
        """
        if not next(self._shutdowns, False):  # one step, and no lock: a signal handler may shut down as well
            return
        if self.workers is not None:
            self.workers.close()
        for provider in self._owned:
            try:
                if isinstance(provider, MeterProvider):
                    provider.shutdown(timeout_millis=timeout_millis)
                else:
                    provider.shutdown()
            except Exception as error:
                self.diagnostics.log_once(("shutdown", type(error)), "telemetry: shutdown failed: %r", error)


def _check_unused(
    meter_provider: APIMeterProvider | MeterProviderFactory | None,
    metric_readers: Sequence[MetricReader],
    tracer_provider: APITracerProvider | None,
    span_processors: Sequence[SpanProcessor],
) -> None:
    """Raises ``ValueError`` where readers or processors are given that nothing would reach."""
    if metric_readers and isinstance(meter_provider, APIMeterProvider):
        raise ValueError("metric_readers beside a meter_provider get nothing: give them to the MeterProvider")
    if span_processors and tracer_provider is not None:
        raise ValueError("span_processors beside a tracer_provider get nothing: add them to the TracerProvider")


def _prometheus_reader(
    registry: CollectorRegistry,
    catalogue: Catalogue,
    diagnostics: Diagnostics,
    created: bool,
    select: Callable[[str, str], bool] | None,
) -> PrometheusReader:
    return PrometheusReader(
        scope_info_enabled=False,
        registry=registry,
        info={metric.name for metric in catalogue if metric.kind is Kind.INFO},
        created=created,
        select=select,
        diagnostics=diagnostics,
    )
