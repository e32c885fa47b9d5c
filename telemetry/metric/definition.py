"""Definitions of metrics, and the catalogue that holds them.

Nothing here records anything: ``telemetry.instruments`` makes OpenTelemetry Views and instruments of the definitions, and the
dashboards and the reference of metrics are derived from them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, final, overload

from telemetry.metric.label import CatalogueError, Label
from telemetry.metric.naming import FamilyType, family_name

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # with a default, which that of ``typing`` takes from Python 3.13 on
else:
    from typing import TypeVar

__all__ = [
    "Catalogue",
    "CounterKind",
    "GaugeKind",
    "HistogramKind",
    "InfoKind",
    "InstrumentKind",
    "Kind",
    "Metric",
    "MultiprocessMode",
    "Native",
    "ObservableKind",
    "UpDownCounterKind",
    "counter",
    "gauge",
    "histogram",
    "info",
    "observable_counter",
    "observable_gauge",
    "up_down_counter",
]

# https://opentelemetry.io/docs/specs/otel/metrics/api/#instrument-name-syntax
_INSTRUMENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,254}")
# https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels, and the dots of OpenTelemetry's attributes
_LABEL_KEY = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*")


class Kind(Enum):
    """The OpenTelemetry instrument that records a metric; an info is an observable gauge of 1."""

    COUNTER = "counter"
    UP_DOWN_COUNTER = "up-down counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"
    OBSERVABLE_COUNTER = "observable counter"
    OBSERVABLE_GAUGE = "observable gauge"


class InstrumentKind:
    """The kind of instrument in the type of a metric: ``telemetry[metric]`` has its type by it. It has no instances.

    A parameter ``Metric`` takes metrics of any kind, ``Metric[CounterKind]`` counters only.
    """


@final
class CounterKind(InstrumentKind):
    """Of a metric whose instrument is a ``Counter``."""


@final
class UpDownCounterKind(InstrumentKind):
    """Of a metric whose instrument is an ``UpDownCounter``."""


@final
class GaugeKind(InstrumentKind):
    """Of a metric whose instrument is a ``Gauge``."""


@final
class HistogramKind(InstrumentKind):
    """Of a metric whose instrument is a ``Histogram``."""


@final
class InfoKind(InstrumentKind):
    """Of a metric whose instrument is an ``Info``."""


@final
class ObservableKind(InstrumentKind):
    """Of a metric whose instrument is an ``Observed``, a counter or a gauge."""


if TYPE_CHECKING:
    K = TypeVar("K", bound=InstrumentKind, covariant=True, default=InstrumentKind)
else:
    K = TypeVar("K", bound=InstrumentKind, covariant=True)

_TYPES: dict[Kind, FamilyType] = {
    Kind.COUNTER: "counter",
    Kind.OBSERVABLE_COUNTER: "counter",
    Kind.HISTOGRAM: "histogram",
    Kind.INFO: "info",
}


class MultiprocessMode(Enum):
    """How the values of several workers' gauges are merged into one."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class Native:
    """The native (exponential) buckets of a histogram: bucket ``i`` ends at ``2**((i+1) * 2**-scale)``, which it includes.

    A series starts at ``max_scale`` and halves its resolution when its buckets would span more than ``max_size``. The default
    scale 3 is that of client_golang's factor of 1.1: each bound is 9 % over the last one, and 160 buckets reach over a ratio
    of 2**20, from 0.1 ms to 100 s for example, before the resolution is halved. Each step up doubles the buckets that the same
    measurements fill: their memory in the process and in Prometheus, and their bytes in a scrape.

    Attributes:
        max_scale: The finest scale, which is Prometheus' schema: -4 to 8
            (https://prometheus.io/docs/specs/native_histograms/#schema).
        max_size: How many buckets a series spans at most, 2 to 16384. At scale -4, the coarsest one, 128 buckets hold every
            number, and they are kept also where fewer are asked for.
        zero_threshold: Measurements up to it, in the metric's unit, are counted as zero.

    Raises:
        CatalogueError: A value is outside its range.
    """

    max_scale: int = 3
    max_size: int = 160
    zero_threshold: float = 1e-128

    def __post_init__(self) -> None:
        for name, least, most in (("max_scale", -4, 8), ("max_size", 2, 16384)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise CatalogueError(f"{name} of native buckets is {value!r}: an integer from {least} to {most} is needed")
        threshold: object = self.zero_threshold
        if type(threshold) not in (int, float) or not isfinite(self.zero_threshold) or self.zero_threshold < 0:
            raise CatalogueError(f"zero_threshold of native buckets is {threshold!r}: a finite number from 0 on is needed")


@dataclass(frozen=True, slots=True)
class Metric(Generic[K]):
    """One metric, in OpenTelemetry's terms and with its names in Prometheus.

    ``counter``, ``histogram`` and the other functions of this module build it, and its type: a ``Metric[CounterKind]``, a
    ``Metric[HistogramKind]``.

    Attributes:
        name: The OpenTelemetry instrument's name, such as ``http.server.request.duration``.
        kind: The instrument's kind.
        unit: The unit (UCUM), such as ``s``, ``By`` or ``{request}``.
        help: What the metric counts or measures.
        labels: Its labels, in the order in which values are given by position.
        bounds: Upper bounds of a histogram's buckets, in ``unit``, without infinity; none where it has native ones only.
        multiprocess_mode: How several workers' gauges are merged.
        cardinality_limit: How many series the SDK keeps apart; 0: as many as the labels allow.
        recorded_in: Where the metric is recorded, for the reference.
        native: A histogram's native buckets, beside ``bounds`` or alone.
        keys: The labels' keys.
        prometheus_name: The name in a query, with unit and a counter's ``_total``; of a histogram, without ``_bucket``.
        prometheus_samples: Every name that the metric uses in Prometheus.

    Raises:
        CatalogueError: A name, key or bound cannot be used.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[Label, ...] = ()
    bounds: tuple[float, ...] = ()
    multiprocess_mode: MultiprocessMode = MultiprocessMode.SUM
    cardinality_limit: int = 0
    recorded_in: str = ""
    native: Native | None = None
    keys: tuple[str, ...] = field(init=False, default=())
    prometheus_name: str = field(init=False, default="")
    prometheus_samples: tuple[str, ...] = field(init=False, default=(), repr=False)
    _text_only: bool = field(init=False, default=True, repr=False)

    def __post_init__(self) -> None:
        name = family_name(self.name.lower(), self.unit, self.prometheus_type)  # the SDK keeps names in lower case
        object.__setattr__(self, "keys", tuple(label.key for label in self.labels))
        object.__setattr__(self, "prometheus_name", name.text)
        object.__setattr__(self, "prometheus_samples", name.samples)
        object.__setattr__(self, "_text_only", not any(label.optional or label.number for label in self.labels))
        _check(self)

    @property
    def prometheus_type(self) -> FamilyType:
        """The type that /metrics shows."""
        return _TYPES.get(self.kind, "gauge")

    @property
    def is_counter(self) -> bool:
        """Whether it is a monotonic sum."""
        return self.kind in (Kind.COUNTER, Kind.OBSERVABLE_COUNTER)

    @property
    def is_observable(self) -> bool:
        """Whether a callback returns its values at each collect."""
        return self.kind in (Kind.INFO, Kind.OBSERVABLE_COUNTER, Kind.OBSERVABLE_GAUGE)

    def attributes(self, values: Sequence[str]) -> dict[str, str]:
        """Returns a series' attributes from its label values in key order. Optional labels without a value are left out."""
        if self._text_only:
            return dict(zip(self.keys, values, strict=True))
        return {label.key: label.attribute(value) for label, value in zip(self.labels, values, strict=True) if value}

    def label(self, key: str) -> Label:
        """Returns the label of a key.

        Raises:
            KeyError: The metric has no such label.
        """
        for label in self.labels:
            if label.key == key:
                return label
        raise KeyError(f"{self.prometheus_name} has no label {key!r}, it has {', '.join(self.keys) or 'none'}")


def _check(metric: Metric) -> None:
    if not _INSTRUMENT_NAME.fullmatch(metric.name):
        raise CatalogueError(f"{metric.name!r} is no OpenTelemetry instrument name (a letter, then letters, digits, _ . - /)")
    for key in metric.keys:
        if not _LABEL_KEY.fullmatch(key) or key.startswith("__") or key in ("le", "quantile"):
            raise CatalogueError(f"{metric.name}: {key!r} cannot be a label key")
    if len({label.prometheus_key for label in metric.labels}) != len(metric.keys):
        raise CatalogueError(f"{metric.name}: a label key stands twice in {', '.join(metric.keys)}")
    if (metric.kind is Kind.HISTOGRAM) != bool(metric.bounds or metric.native):
        raise CatalogueError(f"{metric.name}: bucket bounds belong to a histogram, and a histogram needs them or native ones")
    if list(metric.bounds) != sorted(set(metric.bounds)):
        raise CatalogueError(f"{metric.name}: bucket bounds must rise, they are {metric.bounds}")


def counter(name: str, unit: str, help: str, *labels: Label, recorded_in: str = "") -> Metric[CounterKind]:
    """Defines a monotonic sum."""
    return Metric(name, Kind.COUNTER, unit, help, labels, recorded_in=recorded_in)


def up_down_counter(
    name: str,
    unit: str,
    help: str,
    *labels: Label,
    multiprocess_mode: MultiprocessMode = MultiprocessMode.SUM,
    recorded_in: str = "",
) -> Metric[UpDownCounterKind]:
    """Defines a sum that goes up and down; a gauge in Prometheus."""
    return Metric(name, Kind.UP_DOWN_COUNTER, unit, help, labels, multiprocess_mode=multiprocess_mode, recorded_in=recorded_in)


def gauge(
    name: str,
    unit: str,
    help: str,
    *labels: Label,
    multiprocess_mode: MultiprocessMode = MultiprocessMode.SUM,
    recorded_in: str = "",
) -> Metric[GaugeKind]:
    """Defines a value that is set. Several workers' values are summed by default, as those of an observable gauge are."""
    return Metric(name, Kind.GAUGE, unit, help, labels, multiprocess_mode=multiprocess_mode, recorded_in=recorded_in)


def histogram(
    name: str,
    unit: str,
    help: str,
    *labels: Label,
    bounds: Sequence[float] = (),
    native: Native | None = None,
    recorded_in: str = "",
) -> Metric[HistogramKind]:
    """Defines a histogram with explicit upper bounds, in ``unit``, with native buckets, or with both from one measurement.

    Native buckets are shown to scrapers that ask for a format which has them. The other formats show the explicit ones; of a
    histogram that has native buckets only, those with their upper bounds.

    Raises:
        CatalogueError: Neither ``bounds`` nor ``native`` is given.
    """
    explicit = tuple(float(b) for b in bounds)
    return Metric(name, Kind.HISTOGRAM, unit, help, labels, explicit, recorded_in=recorded_in, native=native)


def info(name: str, help: str, *labels: Label, recorded_in: str = "") -> Metric[InfoKind]:
    """Defines facts about the service: an OpenMetrics info, a gauge of 1 elsewhere.

    Raises:
        CatalogueError: ``name`` does not end in ``.info``.
    """
    if not name.endswith(".info"):
        raise CatalogueError(f"{name}: the name of an info ends in .info")
    return Metric(name, Kind.INFO, "", help, labels, multiprocess_mode=MultiprocessMode.FIRST, recorded_in=recorded_in)


def observable_counter(name: str, unit: str, help: str, *labels: Label, recorded_in: str = "") -> Metric[ObservableKind]:
    """Defines a monotonic sum that callbacks return at each collect."""
    return Metric(name, Kind.OBSERVABLE_COUNTER, unit, help, labels, recorded_in=recorded_in)


def observable_gauge(
    name: str,
    unit: str,
    help: str,
    *labels: Label,
    multiprocess_mode: MultiprocessMode = MultiprocessMode.SUM,
    recorded_in: str = "",
) -> Metric[ObservableKind]:
    """Defines a value that callbacks return at each collect."""
    return Metric(name, Kind.OBSERVABLE_GAUGE, unit, help, labels, multiprocess_mode=multiprocess_mode, recorded_in=recorded_in)


class Catalogue(Sequence[Metric]):
    """A sequence of metrics that do not clash.

    Args:
        metrics: Each metric once.

    Attributes:
        by_name: The metrics by instrument name in lower case.

    Raises:
        CatalogueError: Two metrics have one instrument name, or share a name in Prometheus.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)
        self.by_name: Mapping[str, Metric] = MappingProxyType(self._index())

    def _index(self) -> dict[str, Metric]:
        by_name: dict[str, Metric] = {}
        samples: dict[str, Metric] = {}
        for metric in self._metrics:
            # Instrument names are compared without case, as the SDK compares them.
            if by_name.setdefault(metric.name.lower(), metric) is not metric:
                first = by_name[metric.name.lower()]
                raise CatalogueError(f"{metric.name} stands twice in the catalogue ({first.kind.value}, {metric.kind.value})")
            for sample in metric.prometheus_samples:
                if samples.setdefault(sample, metric) is not metric:
                    raise CatalogueError(f"{metric.name} and {samples[sample].name} both become {sample} in Prometheus")
        return by_name

    def has(self, metric: Metric) -> bool:
        """Returns whether this very row is in the catalogue, not another one of its name."""
        return self.by_name.get(metric.name.lower()) is metric

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    @overload
    def __getitem__(self, index: int) -> Metric: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Metric, ...]: ...
    def __getitem__(self, index: int | slice) -> Metric | tuple[Metric, ...]:
        return self._metrics[index]
