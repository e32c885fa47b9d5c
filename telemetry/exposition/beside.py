"""Collectors of a ``prometheus_client`` registry, written behind a reader's own families.

``prometheus_client`` renders each family by itself, so that one that cannot be written is left out alone. A family with a name
that is taken is left out, as an instrument's would be. Each collector runs with a time limit and outside of the reader's locks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest as text
from prometheus_client.metrics_core import InfoMetricFamily
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text
from prometheus_client.samples import Sample

from telemetry._base.diagnostics import Diagnostics
from telemetry._sdk.callbacks import Callback, CallbackExecutor
from telemetry.exposition.beside_openmetrics2 import family_text
from telemetry.exposition.beside_protobuf import family_message
from telemetry.exposition.labels import value_text
from telemetry.exposition.negotiation import Format
from telemetry.exposition.registry import ServedReader, without_reader
from telemetry.metric import telemetry_metrics
from telemetry.metric.naming import Escaping, escape_name, is_plain

__all__ = ["RegistryText", "Target"]

_EOF = b"# EOF\n"
_WHOLE = (Format.OPENMETRICS_2, Format.PROTOBUF)
"""Formats with native histograms, whose lines or messages have all samples of a series."""
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}


class Target(NamedTuple):
    """The body that the families are added to."""

    format: Format
    escaping: Escaping
    names: Collection[str] = ()
    """Sample names to show; empty: all."""

    @property
    def openmetrics(self) -> bool:
        """Whether the body ends with ``# EOF``."""
        return self.format in (Format.OPENMETRICS, Format.OPENMETRICS_2)


class RegistryText:
    """Writes the collectors of registries behind the body of one reader.

    Args:
        reader: The reader; where it is registered too, it is not shown a second time.
        diagnostics: Counts families that are left out as clashes, and collectors that raise or hang as failed callbacks.
        executor: Calls the collectors, each with a time limit.
    """

    def __init__(self, reader: ServedReader, diagnostics: Diagnostics, executor: CallbackExecutor) -> None:
        self._reader = reader
        self._diagnostics = diagnostics
        self._executor = executor

    def pieces(self, last: bytes, registry: CollectorRegistry, target: Target, taken: Collection[str]) -> Iterator[bytes]:
        """Yields the end of the body: the reader's last piece, then the registry's families, one a piece.

        Args:
            last: The end of what the reader shows, with ``# EOF`` in OpenMetrics.
            registry: The collectors.
            target: The body's format.
            taken: Names of the reader's families and samples: the registry's families with such a name are left out.
        """
        if target.openmetrics:
            last = last.removesuffix(_EOF)
        if last:
            yield last
        families = self._merged(self._collect(registry), target, taken)
        families.reverse()
        while families:
            if piece := self._render(families.pop(), target):  # so that one that is written is no longer held
                yield piece
        if target.openmetrics:
            yield _EOF

    def _collect(self, registry: CollectorRegistry) -> list[Metric]:
        # A registry has no public list of its collectors. Without this one it is collected as a whole: one that raises ends it.
        collectors: Iterable[Any] | None = getattr(registry, "_collector_to_names", None)
        callbacks = [
            Callback(id(each), type(each).__name__, self._call_of(each))
            for each in list([registry] if collectors is None else collectors)
        ]
        found = [metric for metrics in self._executor.run(callbacks) for metric in metrics] if callbacks else []
        if collectors is not None and (facts := registry.get_target_info()):
            found.insert(0, InfoMetricFamily("target", "Target metadata", facts))
        return found

    def _call_of(self, collector: Any) -> Callable[[list[Any]], None]:
        def call(found: list[Any]) -> None:
            with without_reader(self._reader):
                for metric in collector.collect():
                    found.append(metric)  # one after the other: what came before an error is shown

        return call

    def _merged(self, metrics: Iterable[Metric], target: Target, taken: Collection[str]) -> list[Metric]:
        """Families with valid names, each name once and each series once, restricted to the wanted names."""
        kept: dict[str, Metric] = {}
        owners: dict[str, Metric] = {}
        series: set[Any] = set()
        for metric in metrics:
            try:
                family = _spelled(metric, target.escaping, native=target.format in _WHOLE)
            except Exception as error:
                self._unwritable(metric, error)
                continue
            names = _names(family)
            known = kept.get(family.name)
            if (known is None or known.type != family.type) and (clash := _first(family, names, taken, owners)):
                self._clash(clash, _text_name(family), "its name is taken")
                continue
            family.samples = [each for each in family.samples if self._is_new(family, each, series)]
            if known is None:
                kept[family.name] = family
                owners.update(dict.fromkeys(names, family))
            else:
                known.samples += family.samples
        if not target.names:
            return list(kept.values())
        if target.format in _WHOLE:
            return [family for family in kept.values() if {_text_name(family), *_names(family)}.intersection(target.names)]
        for family in kept.values():
            family.samples = [each for each in family.samples if each.name in target.names]
        return [family for family in kept.values() if family.samples]

    def _is_new(self, family: Metric, sample: Sample, series: set[Any]) -> bool:
        labels = sample.labels  # an empty value is the same as none
        shown = labels.items() if all(labels.values()) else [item for item in labels.items() if item[1]]
        key = (sample.name, frozenset(shown), str(sample.timestamp))  # a Timestamp has no hash
        if key in series:
            name = _text_name(family)
            self._clash(name, name, "another series has the same labels")
            return False
        series.add(key)
        return True

    def _render(self, metric: Metric, target: Target) -> bytes:
        one: Any = _Registry(metric)
        try:
            if target.format is Format.PROTOBUF:
                return family_message(metric)
            if target.format is Format.OPENMETRICS_2:
                return family_text(metric).encode()
            if target.format is Format.OPENMETRICS:
                body: bytes = openmetrics_text(one, ALLOWUTF8)  # type: ignore[no-untyped-call]  # no types there
                return body.removesuffix(_EOF)
            return text(one, ALLOWUTF8)
        except Exception as error:
            self._unwritable(metric, error)
            return b""

    def _unwritable(self, metric: object, error: Exception) -> None:
        name = str(getattr(metric, "name", type(metric).__name__))
        self._diagnostics.count(telemetry_metrics.CALLBACK_FAILURES.name, name, "raised")
        # prometheus_client adds the whole family to the error's arguments.
        why = f"{type(error).__name__}: {error.args[0] if error.args else ''}"
        self._diagnostics.log_once(("unwritable", name), "%s of a registry is left out of the scrape: %s", name, why)

    def _clash(self, counted: str, name: str, why: str) -> None:
        self._diagnostics.count(telemetry_metrics.CLASHES.name, counted)
        self._diagnostics.log_once(("beside", name, why), "%s of a registry is left out of the scrape: %s", name, why)


class _Registry(NamedTuple):
    """One family, as a registry."""

    metric: Metric

    def collect(self) -> Iterable[Metric]:
        return (self.metric,)


def _spelled(metric: Metric, escaping: Escaping, *, native: bool) -> Metric:
    """A copy of the family in the client's spelling of names; native histograms are left out where the format lacks them."""
    help_ = metric.documentation
    if not help_.isascii():
        help_ = help_.encode("utf-8", "replace").decode()
    # Set afterwards: the constructor appends a missing unit, and removes "_total".
    copy = Metric("a", help_, metric.type)
    # As in family_name: "_total" and "_info" are escaped with the name, other suffixes are added to the escaped name.
    last = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    copy.name = escape_name(metric.name + last, escaping).removesuffix(last) if metric.name else ""
    copy.unit = metric.unit if copy.name == metric.name or copy.name.endswith(f"_{metric.unit}") else ""
    names = {each: _sample_name(each, metric, copy.name, escaping) for each in {each.name for each in metric.samples}}
    for each in metric.samples:
        if native or not getattr(each, "native_histogram", None):
            labels = each.labels if _is_plain(each.labels) else _labels(each.labels, escaping)
            unchanged = labels is each.labels and names[each.name] == each.name
            copy.samples.append(each if unchanged else each._replace(name=names[each.name], labels=labels))
    return copy


def _sample_name(name: str, metric: Metric, spelled: str, escaping: Escaping) -> str:
    suffix = name.removeprefix(metric.name) if name.startswith(metric.name) else ""
    return spelled + suffix if suffix in _SUFFIXES.get(metric.type, ()) else escape_name(name, escaping)


@lru_cache(maxsize=4096)
def _is_plain_key(key: str) -> bool:
    return is_plain(key, label=True)


def _is_plain(labels: Mapping[str, str]) -> bool:
    """Whether the labels are written as they are, in any spelling."""
    for key, value in labels.items():
        if not (type(value) is str and value.isascii() and "\0" not in value and _is_plain_key(key)):
            return False
    return True


def _labels(labels: Mapping[str, str], escaping: Escaping) -> dict[str, str]:
    """The values of keys that become equal are joined by ``;``, as those of attributes are."""
    spelled: dict[str, str] = {}
    for key, value in sorted(labels.items()):
        name = escape_name(key, escaping, label=True)
        spelled[name] = f"{spelled[name]};{value_text(value)}" if name in spelled else value_text(value)
    return spelled


def _names(family: Metric) -> set[str]:
    """Every name that belongs to the family."""
    reserved = (family.name + suffix for suffix in _SUFFIXES.get(family.type, ()))
    return {family.name, *reserved, *(sample.name for sample in family.samples)}


def _text_name(family: Metric) -> str:
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def _first(family: Metric, names: set[str], taken: Collection[str], owners: Collection[str]) -> str | None:
    """The first name of the family that another one has: the family's own where it is among them."""
    clashes = sorted(name for name in names if name in taken or name in owners)
    name = _text_name(family)
    return name if name in clashes else next(iter(clashes), None)
