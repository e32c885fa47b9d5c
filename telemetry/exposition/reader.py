"""``PrometheusReader``: a metric reader whose state is served as Prometheus text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from threading import Lock, local
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricsData
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.fork import register_after_fork
from telemetry._sdk.callbacks import CallbackExecutor
from telemetry._sdk.fork import start_empty
from telemetry.exposition.families import Families, NamingConfig
from telemetry.exposition.negotiation import Format, choose
from telemetry.exposition.registry import metrics, shared_collector
from telemetry.exposition.source import ScrapeRefusedError, SnapshotSource
from telemetry.exposition.text import Style, render
from telemetry.metric.naming import Translation
from telemetry.metricdata.stream import Snapshot

if TYPE_CHECKING:
    from telemetry.metric.definition import MultiprocessMode
    from telemetry.metric.label_values import Domain
    from telemetry.prefork import Workers

__all__ = ["Exposition", "PrometheusReader"]

T = TypeVar("T")


class Exposition(NamedTuple):
    """One scrape's answer."""

    body: bytes
    content_type: str


class LastScrape(NamedTuple):
    """What the last answer cost: seconds to collect and render it, and its bytes before compression."""

    seconds: float
    size: int


class PrometheusReader(PrometheusMetricReader):
    """A ``PrometheusMetricReader`` that is exact, complete and cheap; goes into any
    ``MeterProvider(metric_readers=[...])``.

    The parent's arguments keep their names, defaults and meaning. Beside them:

    ``exemplars``: show exemplars in OpenMetrics. ``info``: names of instruments (gauges) that are written as
    OpenMetrics *info*. ``select(scope_name, instrument_name)``: False leaves the metric out of this reader; others
    keep it. ``created``: write each series' start as ``_created`` in OpenMetrics; off, because a Prometheus without
    the feature flag ``created-timestamp-zero-ingestion`` stores each as one more series. ``translation``: how names
    are spelled. ``diagnostics``: where clashes, failing callbacks and refused scrapes are counted. ``callback_timeout``:
    seconds that one callback of an observable instrument may take before its series are left out. ``scrape_timeout``:
    seconds that a scrape waits for an earlier one and, on the public path, for the SDK's collect; less than the
    scraper's own limit (10 seconds by default), so that it gets the reason. ``direct``: read the SDK's aggregations
    directly where they are as expected; False: only by ``MetricReader.collect``.

    Exponential histograms are written with explicit buckets (see ``exponential.py``), minimum and maximum of
    histograms not at all, delta points are refused with ``DeltaError``.
    """

    def __init__(
        self,
        disable_target_info: bool = False,
        prefix: str = "",
        scope_info_enabled: bool = True,
        *,
        resource_attribute_filter: Callable[[str], bool] | None = None,
        registry: CollectorRegistry = REGISTRY,
        cardinality_limits: CardinalityLimits | None = None,
        exemplars: bool = True,
        info: Collection[str] = (),
        select: Callable[[str, str], bool] | None = None,
        created: bool = False,
        translation: Translation = Translation.UNDERSCORES,
        diagnostics: Diagnostics | None = None,
        callback_timeout: float = 2.0,
        scrape_timeout: float = 9.0,
        direct: bool = True,
    ) -> None:
        for name, value in (("callback_timeout", callback_timeout), ("scrape_timeout", scrape_timeout)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0 seconds, it is {value!r}")
        # The parent registers a collector of its own kind: it gets a registry to do so where nobody looks.
        super().__init__(registry=CollectorRegistry(), cardinality_limits=cardinality_limits)
        self.diagnostics = diagnostics or Diagnostics(logging.getLogger("telemetry.exposition"))
        self._style = Style(exemplars=exemplars, created=created)
        self._timeout = scrape_timeout
        self._rules = NamingConfig(
            prefix,
            scope_info_enabled,
            not disable_target_info,
            resource_attribute_filter,
            frozenset(name.lower() for name in info),
            Translation(translation),
        )
        self._new_source: Callable[[], SnapshotSource] = lambda: SnapshotSource(
            self,
            CallbackExecutor(callback_timeout, self.diagnostics),
            self.diagnostics,
            select,
            direct=direct,
            exemplars=exemplars,
            limit=scrape_timeout,
            changed=self._families.clear,
        )
        self._start()
        register_after_fork(self._after_fork_in_child)
        self._served, self._shared = registry, shared_collector(registry)
        self._shared.add(self, registry)

    closed = False
    """Whether the reader was shut down."""
    last_scrape: LastScrape | None = None
    _workers: Workers | None = None

    def _start(self) -> None:
        self._lock = Lock()
        self._local = Lock()
        self._delivered = local()
        self._families: dict[bool, Families] = {}
        self._source = self._new_source()

    def _after_fork_in_child(self) -> None:
        """A forked child starts empty: what its parent counted is the parent's."""
        self._start()
        if not start_empty(self):
            self.diagnostics.log_once("fork", "this forked process goes on with its parent's numbers: the SDK is another one")

    def share(
        self,
        workers: Workers,
        *,
        domains: Iterable[Domain] = (),
        multiprocess_modes: Mapping[str, MultiprocessMode] = MappingProxyType({}),
    ) -> None:
        """Show the totals of all workers of a run from now on. Raises ``StateDirectoryError``.

        ``domains``: labels whose admitted values the workers share. ``multiprocess_modes``: instrument name -> rule for
        gauges of several workers; they are summed where it names none.
        """
        workers.join(self, self.diagnostics, domains=domains, multiprocess_modes=multiprocess_modes)
        self._workers = workers

    def expose(
        self, accept: str | None = None, names: Collection[str] = (), *, yield_gil: Callable[[], None] | None = None
    ) -> Exposition:
        """The current state, in the format that the ``Accept`` header asks for. Thread-safe; never partial, empty or
        doubled.

        ``names`` restricts the body to these sample names. ``yield_gil`` is called between pieces of the body. Raises
        ``ScrapeRefusedError`` after shutdown, or when the time for it is up.
        """
        choice = choose(accept)
        utf8 = choice.utf8 and self._rules.translation.utf8
        openmetrics = choice.format is Format.OPENMETRICS
        style = self._style._replace(openmetrics=openmetrics, names=frozenset(names))
        start = perf_counter()
        body = self._read(lambda snapshot: render(self._spelled(utf8), snapshot, style, yield_gil), exemplars=openmetrics)
        self.last_scrape = LastScrape(perf_counter() - start, len(body))
        return Exposition(body, choice.content_type(utf8))

    def metrics(self) -> list[Metric]:
        """The current state as objects of ``prometheus_client``: what its registry collects."""
        return self._read(lambda snapshot: metrics(self._spelled(False), snapshot, self._style), exemplars=True)

    def state(self) -> MetricsData | None:
        """The current state in OpenTelemetry's data model, by the SDK's own collect; exemplars stay visible in
        scrapes.
        """
        self._delivered.data = None
        self.collect()
        data: MetricsData | None = self._delivered.data
        return data

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:  # the parent's signature
        """Leave the registry and answer no more scrapes. A second call does nothing."""
        self.closed = True
        self._shared.remove(self, self._served)

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # the parent's signature
        **kwargs: object,  # as above
    ) -> None:
        """What ``collect`` delivers: on the public path our own, on the direct path that of ``force_flush`` and
        others.
        """
        self._delivered.data = metrics_data
        self._source.receive(metrics_data)

    def _spelled(self, utf8: bool) -> Families:
        if utf8 not in self._families:
            # Clashes are the same in both spellings or nearly so: they are reported for the first one made.
            diagnostics = Diagnostics(None) if self._families else self.diagnostics
            self._families[utf8] = Families(self._rules, diagnostics, utf8=utf8)
        return self._families[utf8]

    def _read(self, show: Callable[[Snapshot], T], *, exemplars: bool) -> T:
        """Collect, and let ``show`` have the reading before the next scrape changes it."""
        if self.closed:
            raise ScrapeRefusedError("shutdown", "the metric reader has been shut down")
        if not self._lock.acquire(timeout=self._timeout):
            raise ScrapeRefusedError("timeout", f"an earlier scrape did not end within {self._timeout:g} s")
        try:
            if self._workers is not None:
                return show(self._workers.snapshot())
            return self.local(show, exemplars=exemplars)
        finally:
            self._lock.release()

    def local(self, show: Callable[[Snapshot], T], *, exemplars: bool = True) -> T:
        """What this process alone has: ``show`` looks at it before it changes. Raises ``ScrapeRefusedError``."""
        if not self._local.acquire(timeout=self._timeout):
            raise ScrapeRefusedError("timeout", f"the last reading did not end within {self._timeout:g} s")
        try:
            return self._source.use(show, exemplars=exemplars)
        finally:
            self._local.release()
