"""Where readings come from: the SDK's state read directly, or else the public ``MetricReader.collect``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeVar

from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.resources import Resource

from telemetry._base.diagnostics import Diagnostics
from telemetry._sdk.callbacks import Callback, CallbackExecutor
from telemetry._sdk.direct import Direct, UnexpectedSDKError, is_attached
from telemetry.metricdata.convert import MetricsDataConverter, exemplar_point, keep_newest
from telemetry.metricdata.stream import ExemplarPoint, Snapshot, Stream

__all__ = ["ScrapeRefusedError", "SnapshotSource"]

T = TypeVar("T")
_MOST_WAITING = 64


class ScrapeRefusedError(Exception):
    """A scrape that got no answer. ``reason`` is a label value of ``agentos_telemetry_refused_scrapes_total``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SnapshotSource:
    """Makes readings for one reader. Calls of ``use`` must not overlap; ``receive`` may come from any thread at any
    time.
    """

    def __init__(
        self,
        reader: MetricReader,
        executor: CallbackExecutor,
        diagnostics: Diagnostics,
        select: Callable[[str, str], bool] | None,
        *,
        direct: bool,
        exemplars: bool,
        limit: float,
        changed: Callable[[], object],
    ) -> None:
        """``changed`` is called when the streams of earlier readings are replaced by others that mean the same."""
        self._reader = reader
        self._executor = executor
        self._diagnostics = diagnostics
        self._select = select
        self._exemplars = exemplars
        self._limit = limit
        self._changed = changed
        self._direct = Direct(reader, self._selected, executor) if direct else None
        self._observed = MetricsDataConverter()  # of the observable instruments, on the direct path
        self._public = MetricsDataConverter()
        self._public_lock = Lock()
        self._arrived = False
        self._choices: dict[Stream, bool] = {}
        self._waiting: dict[tuple[str, int], tuple[object, list[ExemplarPoint]]] = {}

    def use(self, show: Callable[[Snapshot], T], *, exemplars: bool) -> T:
        """Make a reading and have ``show`` look at it. ``exemplars``: whether they are wanted."""
        if not is_attached(self._reader):
            return show(Snapshot(None, ()))
        if self._direct is not None:
            try:
                return show(self._read_directly(self._direct, exemplars and self._exemplars))
            except UnexpectedSDKError as error:
                self._diagnostics.log_once("direct", "the SDK's state cannot be read directly, scrapes cost more: %s", error)
                self._direct = None
                self._changed()  # what is known of the direct streams would clash with the public ones
        self._collect()
        with self._public_lock:
            return show(self._snapshot(self._public.resource, self._public.streams))

    def receive(self, data: MetricsData) -> None:
        """Take what a public collect delivered, ours or somebody else's."""
        with self._public_lock:
            self._arrived = True
            if self._direct is None:
                self._public.update(data, self._exemplars)
            elif self._exemplars:
                self._keep_for_later(data)

    def _read_directly(self, direct: Direct, exemplars: bool) -> Snapshot:
        observed = self._observed.update(direct.observe(), exemplars)
        recorded = direct.streams()
        if self._waiting:
            self._merge_waiting(recorded)
        return self._snapshot(direct.resource, [*recorded, *observed])

    def _snapshot(self, resource: Resource | None, streams: Sequence[Stream]) -> Snapshot:
        """The streams that are shown, those of one scope together: in the order in which the SDK's own collect has
        them.
        """
        by_scope: dict[object, list[Stream]] = {}
        for stream in streams:
            if self._selected(stream):
                by_scope.setdefault(stream.scope, []).append(stream)
        return Snapshot(resource, [stream for group in by_scope.values() for stream in group])

    def _selected(self, stream: Stream) -> bool:
        if self._select is None:
            return True
        choice = self._choices.get(stream)
        if choice is None:
            choice = self._choices[stream] = self._select(stream.scope.name, stream.name)
        return choice

    def _collect(self) -> None:
        """The SDK's own collect, in a thread of its own: it holds the SDK's lock for as long as a callback hangs."""
        self._arrived = False
        job = Callback("collect", "collect", lambda _: self._reader.collect(timeout_millis=self._limit * 1000))
        done = self._executor.attempt(job, self._limit)
        if done is None:
            raise ScrapeRefusedError("timeout", f"a callback held up the collection for more than {self._limit:g} s")
        if done.error is not None:
            raise ScrapeRefusedError("failed", f"{type(done.error).__name__}: {done.error}") from done.error
        if not self._arrived:
            with self._public_lock:
                self._public.update(None)

    def _keep_for_later(self, data: MetricsData) -> None:
        """Somebody else's collect has emptied the exemplar reservoirs: what they held is ours to show still."""
        for resource_metrics in data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    for point in metric.data.data_points:
                        if point.exemplars:
                            key = (metric.name, id(point.attributes))
                            kept = self._waiting.setdefault(key, (point.attributes, []))[1]
                            kept += map(exemplar_point, point.exemplars)
                            del kept[:-_MOST_WAITING]

    def _merge_waiting(self, streams: Sequence[Stream]) -> None:
        with self._public_lock:
            waiting, self._waiting = self._waiting, {}
        names = {name for name, _ in waiting}
        for stream in streams:
            if stream.name in names:
                for index, attributes in enumerate(stream.attributes):
                    found = waiting.get((stream.name, id(attributes)))
                    if found is not None:
                        keep_newest(stream, index, found[1])
