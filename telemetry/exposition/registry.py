"""The bridge to ``prometheus_client``: one collector a registry, for all readers that serve it.

``generate_latest(registry)`` shows what ``PrometheusReader.expose`` shows, sample by sample. Readers of several
providers on one registry become one set of families: of two types under one name the first reader's stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar, Sample, Timestamp

from telemetry.exposition.exemplars import exemplar_labels, newest_by_bucket
from telemetry.exposition.families import Families, FamilyStream
from telemetry.exposition.numbers import bound_text
from telemetry.exposition.text import Style, shows_sum
from telemetry.metric import telemetry_metrics
from telemetry.metricdata.exponential import explicit
from telemetry.metricdata.stream import ExemplarPoint, Snapshot, StreamKind

if TYPE_CHECKING:
    from telemetry.exposition.reader import PrometheusReader

__all__ = ["RegistryCollector", "metrics", "shared_collector"]

Marks = Sequence[ExemplarPoint | None]

# A collector lives by its registry and its readers, not by this: values that knew their keys would never go.
_collectors: WeakKeyDictionary[CollectorRegistry, ReferenceType[RegistryCollector]] = WeakKeyDictionary()
_lock = Lock()


def shared_collector(registry: CollectorRegistry) -> RegistryCollector:
    """The registry's collector, made at first use."""
    with _lock:
        known = _collectors.get(registry)
        found = known() if known is not None else None
        if found is None:
            found = RegistryCollector()
            _collectors[registry] = ref(found)
    return found


class RegistryCollector:
    """Collects all readers of a registry. Registered while it has one."""

    def __init__(self) -> None:
        self._readers: list[PrometheusReader] = []
        self._lock = Lock()

    def add(self, reader: PrometheusReader, registry: CollectorRegistry) -> None:
        """Serve one more reader."""
        with self._lock:
            self._readers.append(reader)
            if len(self._readers) == 1:
                registry.register(self)

    def remove(self, reader: PrometheusReader, registry: CollectorRegistry) -> None:
        """Serve this reader no more; quiet where it is not served."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)
                if not self._readers:
                    registry.unregister(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before a collect; a registry with ``auto_describe`` must not collect to find out."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All families of all readers, each name once."""
        merged: dict[str, Metric] = {}
        for reader in list(self._readers):
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
    """The families as objects of ``prometheus_client``."""
    found = []
    for family in families.update(snapshot):
        metric = Metric(family.name, family.help, family.type, family.unit)
        if family is families.target:
            if pairs := families.target_labels():
                metric.add_sample("target_info", dict(pairs), 1)
        else:
            for member in family.members:
                states, exemplars = member.stream.slice(0, len(member.texts), exemplars=style.exemplars)
                for index, state in enumerate(states):
                    if state is not None and member.texts[index] is not None:
                        labels = dict(families.labels(member, index))
                        marks = exemplars.get(index, ())
                        metric.samples += _samples(member, labels, state, marks, style, member.stream.starts[index])
        if metric.samples:
            found.append(metric)
    return found


def _samples(
    member: FamilyStream, labels: dict[str, str], state: Any, exemplars: Marks, style: Style, start: int | None
) -> Iterable[Sample]:
    family, name = member.family, member.family.name
    if family.type == "histogram":
        yield from _histogram(member, labels, state, exemplars)
    elif family.type == "counter":
        yield Sample(f"{name}_total", labels, state, None, _exemplar(exemplars[0]) if exemplars else None)
    elif family.type == "info":
        yield Sample(f"{name}_info", labels, 1)
    else:
        yield Sample(name, labels, state)
    if style.created and family.type in ("counter", "histogram") and start is not None:
        yield Sample(f"{name}_created", labels, start / 10**9)


def _histogram(member: FamilyStream, labels: dict[str, str], state: Any, exemplars: Marks) -> Iterable[Sample]:
    name, bounds = member.family.name, member.stream.bounds
    if member.stream.kind is StreamKind.EXPONENTIAL:
        bounds, counts = explicit(state)
        total = state.sum
    else:
        counts, total = state
    shown = newest_by_bucket(exemplars, bounds)
    les = [bound_text(float(bound)) for bound in bounds] + ["+Inf"]
    count = 0
    for le, count, point in zip(les, accumulate(counts), shown, strict=True):
        yield Sample(f"{name}_bucket", {**labels, "le": le}, count, None, _exemplar(point))
    if shows_sum(bounds, total):
        yield Sample(f"{name}_count", labels, count)
        yield Sample(f"{name}_sum", labels, total)


def _exemplar(point: ExemplarPoint | None) -> Exemplar | None:
    if point is None:
        return None
    timestamp = Timestamp(point.time_unix_nano // 10**9, point.time_unix_nano % 10**9)
    return Exemplar(dict(exemplar_labels(point)), point.value, timestamp)
