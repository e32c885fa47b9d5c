"""Where snapshots come from: this process's SDK state, read directly or by ``MetricReader.collect``, or all workers'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.resources import Resource

from telemetry._base.diagnostics import Diagnostics
from telemetry._sdk.callbacks import Callback, CallbackExecutor
from telemetry._sdk.direct import Direct, UnexpectedSDKError
from telemetry.metric.definition import MultiprocessMode
from telemetry.metric.label_values import Domain
from telemetry.metricdata.convert import MetricsDataConverter, exemplar_point, keep_newest
from telemetry.metricdata.stream import ExemplarPoint, Snapshot, Stream

__all__ = ["BrokenScrapeError", "ReadLocal", "ScrapeRefusedError", "SharedSnapshots", "SnapshotSource"]

_MAX_PENDING = 64
"""Exemplars of one series that are kept between another collect and the next scrape."""


class ScrapeRefusedError(Exception):
    """A scrape that is not answered.

    Args:
        reason: A label value of ``agentos_telemetry_refused_scrapes_total``.
        message: One sentence for the scraper.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BrokenScrapeError(Exception):
    """A scrape that ends before its last piece, because its state cannot be read further. The next scrape is whole."""


ReadLocal = Callable[[Callable[[Snapshot], bytes]], bytes]
"""Encodes the snapshot of this process with the given function and returns the bytes."""


class SharedSnapshots(Protocol):
    """The snapshots of several processes as one; ``telemetry.prefork.Workers`` is the implementation."""

    def join(
        self,
        read_local: ReadLocal,
        diagnostics: Diagnostics,
        *,
        domains: Iterable[Domain],
        multiprocess_modes: Mapping[str, MultiprocessMode],
    ) -> None:
        """Adds this process, whose own snapshot ``read_local`` encodes."""

    def snapshot(self) -> Snapshot:
        """Returns the totals of all processes. Raises ``ScrapeRefusedError``."""


class SnapshotSource:
    """Makes the snapshots of one reader's process.

    Calls of ``read_directly`` and ``collect``, and the reading of their streams, must not overlap. ``receive`` may be called by
    any thread at any time.

    Args:
        reader: The reader whose provider is read.
        diagnostics: Counts failing callbacks.
        select: False for a scope and an instrument name leaves that instrument out.
        direct: Whether to read the SDK's aggregations directly.
        exemplars: Whether exemplars are kept.
        callback_timeout: Seconds for one callback of an observable instrument, on the direct path.
        collect_timeout: Seconds for the SDK's own collect.
    """

    def __init__(
        self,
        reader: MetricReader,
        diagnostics: Diagnostics,
        *,
        select: Callable[[str, str], bool] | None,
        direct: bool,
        exemplars: bool,
        callback_timeout: float,
        collect_timeout: float,
    ) -> None:
        self._reader = reader
        self._diagnostics = diagnostics
        self._executor = CallbackExecutor(callback_timeout, diagnostics)
        self._select = select
        self._selected_streams: dict[Stream, bool] = {}
        self._exemplars = exemplars
        self._collect_timeout = collect_timeout
        self._direct = Direct(reader, self._selected, self._executor) if direct else None
        self._observed = MetricsDataConverter()  # observable instruments, on the direct path
        self._collected = MetricsDataConverter()
        self._collected_lock = Lock()
        self._received = False
        self._pending: dict[tuple[str, int], tuple[object, list[ExemplarPoint]]] = {}

    @property
    def direct(self) -> bool:
        """Whether the SDK's aggregations are read directly."""
        return self._direct is not None

    def read_directly(self, *, exemplars: bool) -> Snapshot:
        """Returns a snapshot whose streams read the SDK's aggregations when they are sliced.

        Raises ``UnexpectedSDKError``, as slicing does, where the SDK's state is not as expected.
        """
        if self._direct is None:
            raise UnexpectedSDKError("the SDK's state is not read directly")
        observed = self._observed.update(self._direct.observe(), exemplars and self._exemplars)
        recorded = self._direct.streams()
        if self._pending:
            self._merge_pending(recorded)
        return self._snapshot(self._direct.resource, [*recorded, *observed])

    def stop_reading_directly(self, error: UnexpectedSDKError) -> None:
        """Uses the SDK's own collect from now on."""
        self._diagnostics.log_once("direct", "the SDK's state cannot be read directly, scrapes cost more: %s", error)
        self._direct = None

    def collect(self) -> Snapshot:
        """Returns what the SDK's own collect delivers. Later deliveries change its streams, but not inside ``unchanged``.

        Raises ``ScrapeRefusedError`` where a callback raises or hangs. The SDK holds its lock while it runs callbacks, so a
        thread of its own calls it.
        """
        self._received = False
        callback = Callback("collect", "collect", lambda _: self._reader.collect(timeout_millis=self._collect_timeout * 1000))
        result = self._executor.attempt(callback, self._collect_timeout)
        if result is None:
            message = f"a callback held up the collection for more than {self._collect_timeout:g} s"
            raise ScrapeRefusedError("timeout", message)
        if result.error is not None:
            raise ScrapeRefusedError("failed", f"{type(result.error).__name__}: {result.error}") from result.error
        with self._collected_lock:
            if not self._received:
                self._collected.update(None)
            return self._snapshot(self._collected.resource, self._collected.streams)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Keeps what other collects deliver from changing the streams of ``collect`` while the block reads them."""
        if self._direct is not None:
            yield
            return
        with self._collected_lock:
            yield

    def receive(self, data: MetricsData) -> None:
        """Takes what a collect delivers: that of ``collect``, of ``force_flush`` or of another caller."""
        with self._collected_lock:
            self._received = True
            if self._direct is None:
                self._collected.update(data, self._exemplars)
            elif self._exemplars:
                self._keep_exemplars(data)

    def _snapshot(self, resource: Resource | None, streams: Sequence[Stream]) -> Snapshot:
        """The selected streams, grouped by scope: the order of the SDK's own collect."""
        by_scope: dict[object, list[Stream]] = {}
        for stream in streams:
            if self._selected(stream):
                by_scope.setdefault(stream.scope, []).append(stream)
        return Snapshot(resource, [stream for group in by_scope.values() for stream in group])

    def _selected(self, stream: Stream) -> bool:
        if self._select is None:
            return True
        selected = self._selected_streams.get(stream)
        if selected is None:
            selected = self._selected_streams[stream] = self._select(stream.scope.name, stream.name)
        return selected

    def _keep_exemplars(self, data: MetricsData) -> None:
        """Keeps the exemplars of another caller's collect, which has emptied the reservoirs, for the next scrape."""
        for resource_metrics in data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    for point in metric.data.data_points:
                        if point.exemplars:
                            key = (metric.name, id(point.attributes))
                            _, kept = self._pending.setdefault(key, (point.attributes, []))
                            kept += map(exemplar_point, point.exemplars)
                            del kept[:-_MAX_PENDING]

    def _merge_pending(self, streams: Sequence[Stream]) -> None:
        with self._collected_lock:
            pending, self._pending = self._pending, {}
        names = {name for name, _ in pending}
        for stream in streams:
            if stream.name in names:
                for index, attributes in enumerate(stream.attributes):
                    found = pending.get((stream.name, id(attributes)))
                    if found is not None:
                        keep_newest(stream, index, found[1])
