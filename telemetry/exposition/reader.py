"""``PrometheusReader``: a metric reader whose state is served as Prometheus text.

A scrape goes ``pieces`` -> ``SnapshotSource`` (or the workers) -> ``Families`` -> ``render``. A snapshot's streams are read
piece by piece, each under a lock that is free between two pieces: a client that reads slowly keeps neither a body nor a lock.
Other scrapes may change streams and families in between. They only append series, and leave whole numbers behind: a piece shows
the state of the moment in which it is made. Where the SDK's state turns out to be unexpected halfway the scrape is broken, and
the next one takes the SDK's own collect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from threading import Lock, local
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader, MetricsData
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.fork import register_after_fork
from telemetry._base.reentry import run_deferred
from telemetry._sdk.callbacks import CallbackExecutor
from telemetry._sdk.compatibility import keyword_arguments
from telemetry._sdk.direct import UnexpectedSDKError, is_attached
from telemetry._sdk.fork import start_empty
from telemetry.exposition.encoding import Style
from telemetry.exposition.families import Clashes, Families, NamingConfig
from telemetry.exposition.negotiation import Choice, choose, has_prometheus_parser
from telemetry.exposition.registry import ReadersCollector, metrics
from telemetry.exposition.render import render
from telemetry.exposition.source import BrokenScrapeError, ScrapeRefusedError, SharedSnapshots, SnapshotSource
from telemetry.metric.definition import MultiprocessMode
from telemetry.metric.label_values import Domain
from telemetry.metric.naming import Escaping, Translation
from telemetry.metricdata.stream import Snapshot

__all__ = ["Exposition", "Pieces", "PrometheusReader"]

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import CardinalityLimits

T = TypeVar("T")
_INSTRUMENTS = (
    *(sdk.Counter, sdk.UpDownCounter, sdk.Histogram),
    *(sdk.ObservableCounter, sdk.ObservableUpDownCounter, sdk.ObservableGauge),
)
"""Instruments whose points are cumulative here, whatever ``OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`` says."""
_UNATTACHED = (
    "the reader belongs to no MeterProvider: give it to MeterProvider(metric_readers=[reader]), "
    "or let Telemetry(catalogue, meter_provider=build) call build(readers, views)"
)


class Exposition(NamedTuple):
    """One scrape's answer."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """One scrape's answer, piece by piece. Close ``body`` where not all of it is read."""

    content_type: str
    body: Generator[bytes]


class LastScrape(NamedTuple):
    """The cost of the last whole answer: seconds to collect and render it, and its bytes before compression."""

    seconds: float
    size: int


class PrometheusReader(PrometheusMetricReader):
    """An exact, complete and cheap ``PrometheusMetricReader`` for any ``MeterProvider(metric_readers=[...])``.

    The parent's arguments keep their names, defaults and meaning. Exponential histograms are written with explicit buckets (see
    ``metricdata/exponential.py``). Minimum and maximum of histograms are not written. Delta points raise ``DeltaError``.

    Args:
        exemplars: Whether OpenMetrics shows exemplars.
        info: Names of instruments (gauges) that are written as OpenMetrics *info*.
        select: ``select(scope_name, instrument_name)`` is False for a metric that this reader leaves out; others keep it.
        created: Whether OpenMetrics shows each series' start as ``_created``. Off, because a Prometheus without the feature
            flag ``created-timestamp-zero-ingestion`` stores each as one more series.
        translation: How names are spelled.
        diagnostics: Counts clashes, failing callbacks and refused scrapes.
        callback_timeout: Seconds that one callback of an observable instrument may take before its series are left out.
        scrape_timeout: Seconds that a scrape waits for an earlier one and, on the public path, for the SDK's collect. Keep it
            below the scraper's own limit (10 seconds by default), so that the scraper gets the reason.
        direct: Whether to read the SDK's aggregations directly where they are as expected; False: by ``MetricReader.collect``.
        beside: A registry of ``prometheus_client`` whose collectors are shown behind this reader's families; a family with a
            name of this reader's is left out and counted as a clash. It may be ``registry`` itself.

    Attributes:
        beside: As given.
        closed: Whether the reader is shut down.
        last_scrape: The cost of the last answer; None before the first.
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
        beside: CollectorRegistry | None = None,
    ) -> None:
        # Not the parent's __init__: it registers a collector of its own, and older versions know only the global registry.
        limits = keyword_arguments(MetricReader.__init__, cardinality_limits=cardinality_limits)
        MetricReader.__init__(
            self, preferred_temporality=dict.fromkeys(_INSTRUMENTS, AggregationTemporality.CUMULATIVE), **limits
        )
        self.diagnostics = diagnostics or Diagnostics(logging.getLogger("telemetry.exposition"))
        self.closed = False
        self.last_scrape: LastScrape | None = None
        self.beside = beside
        self._workers: SharedSnapshots | None = None
        self._style = Style(exemplars=exemplars, created=created)
        info = frozenset(name.lower() for name in info)
        self._naming = NamingConfig(
            prefix, scope_info_enabled, not disable_target_info, resource_attribute_filter, info, Translation(translation)
        )
        self._select = select
        self._direct = direct
        self._callback_timeout = _positive("callback_timeout", callback_timeout)
        self._scrape_timeout = _positive("scrape_timeout", scrape_timeout)
        self._reset()
        register_after_fork(self._after_fork_in_child)
        self._readers_collector = ReadersCollector.serve(self, registry)

    def _reset(self) -> None:
        """Starts with no state, and with locks that no thread holds."""
        self._scrape_lock = Lock()
        self._local_lock = Lock()
        self._delivered = local()
        self._families: dict[Escaping, Families] = {}
        self._clashes = Clashes()
        self._intact = object()
        self._collectors_beside = CallbackExecutor(self._callback_timeout, self.diagnostics)
        self._source = SnapshotSource(
            self,
            self.diagnostics,
            select=self._select,
            direct=self._direct,
            exemplars=self._style.exemplars,
            callback_timeout=self._callback_timeout,
            collect_timeout=self._scrape_timeout,
        )

    def _after_fork_in_child(self) -> None:
        """A forked child starts empty: its parent shows what the parent has counted."""
        self._reset()
        if not start_empty(self):
            self.diagnostics.log_once("fork", "this forked process goes on with its parent's numbers: the SDK is another one")

    def share(
        self,
        workers: SharedSnapshots,
        *,
        domains: Iterable[Domain] = (),
        multiprocess_modes: Mapping[str, MultiprocessMode] = MappingProxyType({}),
    ) -> None:
        """Shows the totals of all workers of a run from now on.

        Args:
            workers: The run, ``telemetry.prefork.Workers``.
            domains: Labels whose admitted values the workers share.
            multiprocess_modes: Instrument name -> how the gauges of several workers are combined; others are summed.

        Raises:
            StateDirectoryError: The run's directory cannot be used.
        """
        workers.join(self.read_local, self.diagnostics, domains=domains, multiprocess_modes=multiprocess_modes)
        self._workers = workers

    def content_type(self, accept: str | None = None) -> str:
        """Returns the content type that ``expose(accept)`` answers with; nothing is collected."""
        return choose(accept).content_type

    def expose(
        self,
        accept: str | None = None,
        names: Collection[str] = (),
        *,
        yield_gil: Callable[[], None] | None = None,
        beside: CollectorRegistry | None = None,
    ) -> Exposition:
        """Returns the current state, whole and once, in the format that the ``Accept`` header asks for. Thread-safe.

        Args:
            accept: The header's value.
            names: Restricts the body to these sample names; empty: all.
            yield_gil: Called between pieces of the body.
            beside: Used in place of the reader's ``beside``.

        Raises:
            ScrapeRefusedError: The reader is shut down or belongs to no provider, or the scrape took too long.
        """
        try:
            return self._joined(self.pieces(accept, names, beside=beside), yield_gil)
        except BrokenScrapeError:
            return self._joined(self.pieces(accept, names, beside=beside), yield_gil)

    def pieces(
        self, accept: str | None = None, names: Collection[str] = (), *, beside: CollectorRegistry | None = None
    ) -> Pieces:
        """Returns the current state in pieces of at least 16 KiB, but for the last one of each source. Thread-safe.

        A piece is made when it is asked for, and shows the state of that moment; no lock is held in between. A series, all
        buckets of a histogram included, is whole in one piece, and is shown once. Series that are recorded first after their
        family was begun come with the next scrape. A scrape that was begun goes on after ``shutdown``.

        Args:
            accept: The header's value.
            names: As of ``expose``.
            beside: As of ``expose``.

        Raises:
            ScrapeRefusedError: As ``expose``; asking for a piece raises it, too.
            BrokenScrapeError: By asking for a piece: the scrape cannot be ended. Ask for a new one.
        """
        if self.closed:
            raise ScrapeRefusedError("shutdown", "the metric reader has been shut down")
        if not is_attached(self):
            raise ScrapeRefusedError("unattached", _UNATTACHED)
        choice = choose(accept)
        split = has_prometheus_parser(accept)
        style = self._style._replace(format=choice.format, names=frozenset(names), split=split)
        registry = self.beside if beside is None else beside
        return Pieces(choice.content_type, self._measured(self._pieces(style, choice, registry)))

    def metrics(self) -> list[Metric]:
        """Returns the current state as objects of ``prometheus_client``, for its registry. Raises ``ScrapeRefusedError``."""
        if self.closed:
            raise ScrapeRefusedError("shutdown", "the metric reader has been shut down")

        def use(snapshot: Snapshot) -> list[Metric]:
            return metrics(self._families_for(Escaping.UNDERSCORES), snapshot, self._style)

        with _held(self._scrape_lock, self._scrape_timeout, "an earlier scrape"):
            return self.read_local(use) if self._workers is None else use(self._workers.snapshot())

    def state(self) -> MetricsData | None:
        """Returns the SDK's own collect, in OpenTelemetry's data model; scrapes still show its exemplars."""
        self._delivered.data = None
        self.collect()
        data: MetricsData | None = self._delivered.data
        return data

    def read_local(self, use: Callable[[Snapshot], T], *, exemplars: bool = True) -> T:
        """Calls ``use`` with the snapshot of this process alone, which is valid during the call, and returns its result.

        ``use`` is called a second time, with a snapshot from the SDK's own collect, where it raises ``UnexpectedSDKError``.
        Raises ``ScrapeRefusedError``.
        """
        with _held(self._local_lock, self._scrape_timeout, "the last reading"):
            try:
                return self._use_local(use, exemplars=exemplars)
            except UnexpectedSDKError as error:
                self._stop_reading_directly(error)
            return self._use_local(use, exemplars=exemplars)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:  # the parent's signature
        """Leaves the registry and refuses later scrapes. A second call does nothing."""
        self.closed = True
        self._readers_collector.remove(self)

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # the parent's signature
        **kwargs: object,  # as above
    ) -> None:
        """The SDK calls this with the result of each collect, also with that of ``force_flush`` and of other callers."""
        self._delivered.data = metrics_data
        self._source.receive(metrics_data)

    def _spelling(self, escaping: Escaping) -> Escaping:
        """The escaping, or underscores for the translations whose names are the same in each."""
        return escaping if self._naming.translation.utf8 else Escaping.UNDERSCORES

    def _families_for(self, escaping: Escaping) -> Families:
        spelling = self._spelling(escaping)
        if spelling not in self._families:
            self._families[spelling] = Families(self._naming, self.diagnostics, spelling, self._clashes)
        return self._families[spelling]

    @staticmethod
    def _joined(pieces: Pieces, yield_gil: Callable[[], None] | None) -> Exposition:
        body = BytesIO()
        for piece in pieces.body:
            body.write(piece)
            if yield_gil is not None:
                yield_gil()
        return Exposition(body.getvalue(), pieces.content_type)

    def _measured(self, pieces: Iterator[bytes]) -> Generator[bytes]:
        """Passes the pieces on; the time between them is the client's."""
        seconds, size = 0.0, 0
        while True:
            start = perf_counter()
            piece = next(pieces, None)
            seconds += perf_counter() - start
            if piece is None:
                break
            size += len(piece)
            yield piece
        self.last_scrape = LastScrape(seconds, size)

    def _pieces(self, style: Style, choice: Choice, registry: CollectorRegistry | None) -> Iterator[bytes]:
        """The reader's own families, then those of the registry."""
        own = self._own_pieces(style, choice)
        if registry is None:
            yield from own
            return
        last = b""
        taken: Collection[str] = ()
        while True:
            try:
                piece = next(own)
            except StopIteration as end:
                taken = end.value
                break
            if last:
                yield last
            last = piece
        from telemetry.exposition.beside import RegistryText, Target  # readers without a registry beside them need none of it

        target = Target(style.format, self._spelling(choice.escaping), style.names)
        beside = RegistryText(self, self.diagnostics, self._collectors_beside)
        yield from beside.pieces(last, registry, target, taken)

    def _own_pieces(self, style: Style, choice: Choice) -> Generator[bytes, None, Collection[str]]:
        """Yields the pieces of the reader's own families; returns every name that they have."""
        with self._reading():
            snapshot = self._snapshot(exemplars=style.shows_exemplars)
            families = self._families_for(choice.escaping)
            body, intact = render(families, snapshot, style), self._intact
            piece = self._next(body)
            names = families.names  # behind the update of the families, which may be a new start
        del snapshot
        while piece is not None:
            yield piece
            with self._reading():
                if intact is not self._intact:
                    raise BrokenScrapeError("another scrape failed while it changed the state that this one reads")
                piece = self._next(body)
        return names

    def _next(self, body: Iterator[bytes]) -> bytes | None:
        try:
            with self._source.unchanged():
                return next(body, None)
        except UnexpectedSDKError as error:
            self._stop_reading_directly(error)
            raise BrokenScrapeError(f"the SDK's state cannot be read directly: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Holds the locks of the state that scrapes show."""
        with _held(self._scrape_lock, self._scrape_timeout, "an earlier scrape"):
            if self._workers is not None:
                yield
                return
            with _held(self._local_lock, self._scrape_timeout, "the last reading"):
                yield

    def _snapshot(self, *, exemplars: bool) -> Snapshot:
        """Returns the snapshot that scrapes show: that of this process, or of all workers."""
        try:
            return self._local_snapshot(exemplars=exemplars) if self._workers is None else self._workers.snapshot()
        except ScrapeRefusedError:
            raise
        except BaseException:
            self._intact = object()  # streams may be half changed
            raise

    def _use_local(self, use: Callable[[Snapshot], T], *, exemplars: bool) -> T:
        snapshot = self._local_snapshot(exemplars=exemplars)
        with self._source.unchanged():
            return use(snapshot)

    def _local_snapshot(self, *, exemplars: bool) -> Snapshot:
        run_deferred()
        if not is_attached(self):
            return Snapshot(None, ())
        if self._source.direct:
            try:
                return self._source.read_directly(exemplars=exemplars)
            except UnexpectedSDKError as error:
                self._stop_reading_directly(error)
        return self._source.collect()

    def _stop_reading_directly(self, error: UnexpectedSDKError) -> None:
        self._source.stop_reading_directly(error)
        self._families.clear()  # their direct streams would clash with the same ones of a collect


def _positive(name: str, seconds: float) -> float:
    if not seconds > 0:
        raise ValueError(f"{name} must be above 0 seconds, it is {seconds!r}")
    return seconds


@contextmanager
def _held(lock: Lock, timeout: float, holder: str) -> Iterator[None]:
    if not lock.acquire(timeout=timeout):
        raise ScrapeRefusedError("timeout", f"{holder} did not end within {timeout:g} s")
    try:
        yield
    finally:
        lock.release()
