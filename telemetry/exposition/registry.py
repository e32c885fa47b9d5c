"""The bridge to ``prometheus_client``: one collector in a registry, for all readers that serve this registry.

``generate_latest(registry)`` shows the samples that ``PrometheusReader.expose`` shows. Readers of several providers on one
registry become one set of families: of two types under one name, the first reader's is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from threading import Lock, local
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar, Sample, Timestamp

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.fork import register_after_fork
from telemetry.exposition.encoding import Style, shows_sum
from telemetry.exposition.exemplars import exemplar_labels, newest_by_bucket
from telemetry.exposition.families import Families, FamilyStream
from telemetry.exposition.numbers import bound_text
from telemetry.metric import telemetry_metrics
from telemetry.metricdata.exponential import explicit
from telemetry.metricdata.stream import ExemplarPoint, Snapshot, StreamKind

__all__ = ["ReadersCollector", "ServedReader", "metrics", "without_reader"]

_lock = Lock()
_hidden = local()


def _reset_after_fork() -> None:
    """Replaces the lock: a thread of the parent, which a forked child does not have, may have held it."""
    global _lock
    _lock = Lock()


register_after_fork(_reset_after_fork)


class ServedReader(Protocol):
    """A reader as its collector uses it."""

    diagnostics: Diagnostics

    def metrics(self) -> list[Metric]:
        """Returns the current state as objects of ``prometheus_client``."""


@contextmanager
def without_reader(reader: ServedReader) -> Iterator[None]:
    """Leaves ``reader`` out of what registries collect in this thread: it shows their collectors beside its own families."""
    _hidden.reader = reader
    try:
        yield
    finally:
        _hidden.reader = None


class ReadersCollector:
    """Collects all readers of one registry; it is registered while it has any."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._readers: list[ServedReader] = []

    @classmethod
    def serve(cls, reader: ServedReader, registry: CollectorRegistry) -> ReadersCollector:
        """Adds ``reader`` to the registry's collector, which is registered for the first one; returns the collector."""
        with _lock:
            # A registry has no public list of its collectors. Without this one each reader gets a collector of its own.
            registered = list(getattr(registry, "_collector_to_names", ()))
            collector = next((each for each in registered if isinstance(each, cls)), None)
            if collector is None:
                collector = cls(registry)
                registry.register(collector)
            collector._readers.append(reader)
        return collector

    def remove(self, reader: ServedReader) -> None:
        """Leaves ``reader`` out from now on. A second call does nothing."""
        with _lock:
            if reader in self._readers:
                self._readers.remove(reader)
                if not self._readers:
                    self._registry.unregister(self)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: a registry with ``auto_describe`` would collect to learn the names."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Returns the families of all readers, each name once."""
        merged: dict[str, Metric] = {}
        hidden = getattr(_hidden, "reader", None)
        for reader in [each for each in list(self._readers) if each is not hidden]:
            for metric in reader.metrics():
                known = merged.setdefault(metric.name, metric)
                if known is metric:
                    continue
                if known.type != metric.type:
                    reader.diagnostics.count(telemetry_metrics.CLASHES.name, metric.name)
                    reader.diagnostics.log_once(
                        ("registry", metric.name), "%s is left out: it is a %s of another reader", metric.name, known.type
                    )
                    continue
                seen = {(s.name, frozenset(s.labels.items())) for s in known.samples}
                known.samples += [s for s in metric.samples if (s.name, frozenset(s.labels.items())) not in seen]
        return merged.values()


def metrics(families: Families, snapshot: Snapshot, style: Style) -> list[Metric]:
    """Returns the families as objects of ``prometheus_client``; those without samples are left out."""
    found = []
    for family in families.update(snapshot):
        metric = Metric(family.name, family.help, family.type, family.unit)
        if family is families.target:
            if pairs := families.target_labels():
                metric.add_sample("target_info", dict(pairs), 1)
        else:
            for member in family.members:
                values, exemplars = member.stream.slice(0, len(member.texts), exemplars=style.exemplars)
                for index, value in enumerate(values):
                    if value is not None and member.texts[index] is not None:
                        labels = dict(families.labels(member, index))
                        start = member.stream.starts[index] if style.created else None
                        metric.samples += _samples(member, labels, value, exemplars.get(index, ()), start)
        if metric.samples:
            found.append(metric)
    return found


def _samples(
    member: FamilyStream, labels: dict[str, str], value: Any, exemplars: Sequence[ExemplarPoint | None], start: int | None
) -> Iterable[Sample]:
    family, name = member.family, member.family.name
    if family.type == "histogram":
        yield from _histogram(member, labels, value, exemplars)
    elif family.type == "counter":
        yield Sample(f"{name}_total", labels, value, None, _exemplar(exemplars[0]) if exemplars else None)
    elif family.type == "info":
        yield Sample(f"{name}_info", labels, 1)
    else:
        yield Sample(name, labels, value)
    if family.type in ("counter", "histogram") and start is not None:
        yield Sample(f"{name}_created", labels, start / 10**9)


def _histogram(
    member: FamilyStream, labels: dict[str, str], value: Any, exemplars: Sequence[ExemplarPoint | None]
) -> Iterable[Sample]:
    name, bounds = member.family.name, member.stream.bounds
    if member.stream.kind is StreamKind.EXPONENTIAL:
        bounds, counts = explicit(value)
        total = value.sum
    else:
        counts, total = value
    by_bucket = newest_by_bucket(exemplars, bounds)
    les = [bound_text(float(bound)) for bound in bounds] + ["+Inf"]
    count = 0
    for le, count, point in zip(les, accumulate(counts), by_bucket, strict=True):
        yield Sample(f"{name}_bucket", {**labels, "le": le}, count, None, _exemplar(point))
    if shows_sum(bounds, total):
        yield Sample(f"{name}_count", labels, count)
        yield Sample(f"{name}_sum", labels, total)


def _exemplar(point: ExemplarPoint | None) -> Exemplar | None:
    if point is None:
        return None
    timestamp = Timestamp(point.time_unix_nano // 10**9, point.time_unix_nano % 10**9)
    return Exemplar(dict(exemplar_labels(point)), point.value, timestamp)
