"""What Prometheus must read from a body: a second implementation of the rules, for the SDK's own ``MetricsData``."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from itertools import accumulate
from sys import float_info
from types import SimpleNamespace
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, Gauge, MetricsData, Sum
from opentelemetry.sdk.resources import Resource

from telemetry.metric.naming import Translation
from tests.helpers import generated_metrics
from tests.helpers.generated_hosts import UNITS, Host, Metric
from tests.helpers.prometheus_parser import ParsedBody, ParsedHistogram
from tests.helpers.providers import plain

__all__ = ["Body", "Format", "Sample", "expected", "keep_exemplars", "shown"]

Labels = frozenset[tuple[str, Any]]
"""Labels that have a value; ``le`` is a number."""
Key = tuple[str, Labels]
Exemplar = tuple[tuple[tuple[str, str], ...], Any, int | None]
"""Labels, value, and time in milliseconds."""
exact_power = cache(generated_metrics.exact_power)


class Format(Enum):
    """The formats, by the ``Accept`` header that asks for them without an escaping."""

    TEXT = "text/plain;version=0.0.4"
    TEXT_1 = "text/plain;version=1.0.0"
    OPENMETRICS = "application/openmetrics-text;version=1.0.0"
    OPENMETRICS_2 = "application/openmetrics-text;version=2.0.0"
    PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

    @property
    def native(self) -> bool:
        """Whether the format has native histograms."""
        return self in (Format.OPENMETRICS_2, Format.PROTOBUF)

    @property
    def exemplars(self) -> bool:
        """Whether the format has exemplars."""
        return self not in (Format.TEXT, Format.TEXT_1)

    def milliseconds(self, unix_nano: int) -> int:
        """Returns the time as Prometheus reads it: whole messages in protobuf, floats of seconds in text; both are cut off."""
        if self is Format.PROTOBUF:
            return unix_nano // 1_000_000
        return int(float(f"{unix_nano // 10**9}.{unix_nano % 10**9:09}") * 1000)


class Native(NamedTuple):
    """A native histogram: the filled buckets by index."""

    schema: int
    zero_threshold: float
    zero_count: float
    total: float
    sum: Any
    positive: Mapping[int, float]
    negative: Mapping[int, float]


class Anew(tuple[Exemplar, ...]):
    """Exemplars of an observable instrument: each reading makes and chooses them anew, so that their number alone is known."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and len(self) == len(other)

    __hash__ = tuple.__hash__


class Skipped(tuple[Exemplar, ...]):
    """Exemplars of a native histogram in protobuf, of which Prometheus does not read the first ones.

    Its parser counts the exemplars that it has read, and does not begin again at the next series of a family
    (``exemplarPos`` in ``protobufparse.go`` of 3.16): of that series it reads those behind this number. Behind a classic series
    it begins again.
    """

    skipped = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and len(other) == max(0, len(self) - self.skipped) and set(other) <= set(self)

    __hash__ = tuple.__hash__


class AnyTime(int):
    """The start of an observable instrument: the SDK's own collect and the reader each have a first."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    __hash__ = int.__hash__


class Sample(NamedTuple):
    """A series' value, its start in milliseconds (None where none is shown), and its exemplars in rising order."""

    value: Any
    start: int | None = None
    exemplars: tuple[Exemplar, ...] = ()


class Body(NamedTuple):
    """All series of a body, and the type, help and unit of each family."""

    samples: dict[Key, Sample]
    metadata: dict[str, tuple[str, str, str]]


def shown(parsed: ParsedBody, format_: Format) -> Body:
    """Returns what the body holds, in the form of ``expected``."""
    samples = {}
    for sample in parsed.samples:
        labels = {key: float(value) if key == "le" else value for key, value in sample.labels.items() if value}
        value = _native(sample.value) if isinstance(sample.value, ParsedHistogram) else plain(sample.value)
        # Prometheus leaves the values of an exemplar in OpenMetrics 1.0 as they are written.
        read = _unescaped if format_ is Format.OPENMETRICS else str
        exemplars = [
            (tuple(sorted((k, read(v)) for k, v in e.labels.items())), plain(e.value), e.timestamp) for e in sample.exemplars
        ]
        samples[sample.name, frozenset(labels.items())] = Sample(value, sample.start, tuple(sorted(exemplars, key=repr)))
    assert len(samples) == len(parsed.samples)
    names = parsed.types.keys() | parsed.helps.keys() | parsed.units.keys()
    metadata = {name: (parsed.types[name], parsed.helps.get(name, ""), parsed.units.get(name, "")) for name in names}
    if format_ is not Format.PROTOBUF:  # Prometheus leaves names in metadata as they are written
        metadata = {_unescaped(name): each for name, each in metadata.items()}
    return Body(samples, metadata)


def _unescaped(name: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], name)


def _native(histogram: ParsedHistogram) -> Native:
    assert not histogram.float_counts
    assert not histogram.gauge
    return Native(
        histogram.schema,
        histogram.zero_threshold,
        histogram.zero_count,
        histogram.count,
        plain(histogram.sum),
        *({index: count for index, count in side.items() if count} for side in (histogram.positive, histogram.negative)),
    )


def expected(data: MetricsData | None, host: Host, format_: Format, rounds: int, parsed: ParsedBody) -> Body:
    """Returns the body that shows the data.

    Args:
        data: The SDK's own collect.
        host: How names are made.
        format_: The body's format.
        rounds: How many rounds have been recorded.
        parsed: Names the empty buckets of exponential histograms that are shown as classic ones: which is not prescribed.
    """
    les: dict[Key, list[float]] = {}
    for sample in parsed.samples:
        if "le" in sample.labels:
            key = (sample.name, frozenset((k, v) for k, v in sample.labels.items() if v and k != "le"))
            les.setdefault(key, []).append(float(sample.labels["le"]))
    wanted = _Wanted(host, format_, rounds, les)
    if host.target_info and (facts := Resource(host.resource).attributes):
        wanted.add_target(facts)
    for resource_metrics in data.resource_metrics if data else ():
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                wanted.add(metric, scope_metrics.scope, resource_metrics.resource.attributes)
    return wanted.body


class _Wanted:
    """Fills ``body``."""

    def __init__(self, host: Host, format_: Format, rounds: int, les: Mapping[Key, Sequence[float]]) -> None:
        self.host, self.format, self.rounds, self.les = host, format_, rounds, les
        self.escaping = host.escaping if host.translation in (Translation.UTF8, Translation.NONE) else "underscores"
        self.metrics = {each.name or f"i{i}": each for i, each in enumerate(host.metrics)}
        self.read = 0
        """Exemplars of the family's native histograms so far."""
        self.body = Body({}, {})

    def add_target(self, attributes: Mapping[str, Any]) -> None:
        """The resource's own series."""
        self._put("target_info", self._labels(attributes.items()), Sample(1.0))
        kind = {Format.OPENMETRICS: "info", Format.OPENMETRICS_2: "info"}.get(self.format, "gauge")
        name = "target" if self.format is Format.OPENMETRICS else "target_info"
        self.body.metadata[name] = (kind, "Target metadata", "")

    def add(self, metric: Any, scope: Any, resource: Mapping[str, Any]) -> None:
        """All series of one metric."""
        data = metric.data
        kind = "gauge" if isinstance(data, (Gauge, Sum)) else "histogram"
        kind = "counter" if isinstance(data, Sum) and data.is_monotonic else kind
        kind = "info" if self.metrics[metric.name].info else kind
        family, text, word = self._names(metric.name, UNITS[metric.unit or ""][kind != "gauge"], kind)
        constant = self._constant(scope, resource)
        before = len(self.body.samples)
        self.read = 0
        seen: set[Labels] = set()
        for point in data.data_points:
            labels = self._labels({**constant, **point.attributes}.items())
            if labels in seen:  # of two series with the same labels the first is shown
                continue
            seen.add(labels)
            if kind == "histogram":
                self._histogram(family, labels, point, self.metrics[metric.name])
            else:
                name = family + "_total" if kind == "counter" and self.format is Format.OPENMETRICS else text
                self._put(name, labels, self._number(metric.name, kind, point))
        if len(self.body.samples) > before:
            name = family if self.format is Format.OPENMETRICS or kind == "histogram" else text
            type_ = "gauge" if kind == "info" and self.format not in (Format.OPENMETRICS, Format.OPENMETRICS_2) else kind
            unit = self._unit(family, word) if kind != "info" else ""
            self.body.metadata[name] = (type_, self._help(metric.description), unit)

    def _number(self, name: str, kind: str, point: Any) -> Sample:
        value = 1.0 if kind == "info" else plain(_float(point.value))
        if kind != "counter":
            return Sample(value)
        start, exemplars = self._start(point), self._exemplars(sorted(point.exemplars, key=_time)[-1:])
        if self.metrics[name].kind.startswith("observable"):
            return Sample(value, start and AnyTime(start), Anew(exemplars))
        return Sample(value, start, exemplars)

    def _help(self, text: str) -> str:
        """In the text formats a help of spaces alone is read as none."""
        text = _encodable(text)
        if self.format in (Format.TEXT, Format.TEXT_1):
            return text if text.strip(" \t") else ""
        return text.rstrip("\r") if self.format is Format.OPENMETRICS_2 else text

    def _unit(self, family: str, word: str) -> str:
        if self.format is Format.OPENMETRICS_2:
            return word
        return word if self.format in (Format.OPENMETRICS, Format.PROTOBUF) and family.endswith(f"_{word}") else ""

    def _constant(self, scope: Any, resource: Mapping[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in resource.items() if key.startswith("r")} if self.host.resource_labels else {}
        if self.host.scope_labels:
            found |= {f"otel_scope_{key}": value for key, value in (scope.attributes or {}).items()}
            found |= {"otel_scope_name": scope.name or "", "otel_scope_version": scope.version or ""}
            found["otel_scope_schema_url"] = scope.schema_url or ""
        return found

    def _names(self, name: str, word: str, kind: str) -> tuple[str, str, str]:
        """Family in OpenMetrics 1.0, name of the family in the other formats, and the unit's word."""
        suffixes = self.host.translation in (Translation.UNDERSCORES, Translation.UTF8)
        name = f"{self.host.prefix}_{name}" if self.host.prefix else name
        name = _encodable(name)
        if self.escaping == "underscores":
            name = re.sub("[^a-zA-Z0-9:]+", "_", name)
            name = f"_{name}" if not name or name[0].isdigit() else name
        total = kind == "counter" and name.endswith("_total")
        base = name.removesuffix("_total") or name if kind == "counter" else name
        if suffixes and word and f"_{word}_" not in f"_{base.replace('.', '_')}_":
            base = base.removesuffix("_") + "_" + word
        elif suffixes and self.escaping == "underscores" and kind in ("counter", "histogram"):
            base = base.removesuffix("_") or base
        if kind == "info":
            base = base.removesuffix("_info").removesuffix(".info") or base
        end = "_info" if kind == "info" else "_total" if kind == "counter" and (suffixes or total) else ""
        text = _escaped(base + end, self.escaping, colon=True)
        return text.removesuffix(end), text, word

    def _labels(self, items: Iterable[tuple[str, Any]]) -> Labels:
        found: dict[str, list[str]] = {}
        for original, value in sorted(items, key=lambda item: str(item[0])):
            found.setdefault(_label(original, self.escaping), []).append(_text(value))
        return frozenset((key, ";".join(values)) for key, values in found.items() if ";".join(values))

    def _put(self, name: str, labels: Labels, sample: Sample) -> None:
        assert (name, labels) not in self.body.samples
        self.body.samples[name, labels] = sample

    def _start(self, point: Any) -> int | None:
        if self.format.native or (self.format is Format.OPENMETRICS and self.host.created):
            return self.format.milliseconds(point.start_time_unix_nano)
        return None

    def _exemplars(self, exemplars: Iterable[Any]) -> tuple[Exemplar, ...]:
        found = [self._exemplar(each) for each in exemplars] if self.format.exemplars else []
        return tuple(sorted(found, key=repr))

    def _exemplars_of_native(self, point: Any) -> tuple[Exemplar, ...]:
        exemplars = Skipped(self._exemplars(point.exemplars))
        if self.format is Format.PROTOBUF:
            exemplars.skipped = self.read
            self.read = max(self.read, len(exemplars))
        return exemplars

    def _exemplar(self, exemplar: Any) -> Exemplar:
        labels = {}
        if exemplar.trace_id:
            labels["trace_id"] = f"{exemplar.trace_id:032x}"
        if exemplar.span_id:
            labels["span_id"] = f"{exemplar.span_id:016x}"
        for original, value in sorted((exemplar.filtered_attributes or {}).items()):
            key, text = _label(original, "underscores"), _text(value)
            used = sum(len(k) + len(v) for k, v in labels.items())
            if key not in labels and (self.format is not Format.OPENMETRICS or used + len(key) + len(text) <= 128):
                labels[key] = text
        pairs = tuple(sorted((key, value) for key, value in labels.items()))
        return pairs, plain(_float(exemplar.value)), self.format.milliseconds(exemplar.time_unix_nano)

    def _histogram(self, name: str, labels: Labels, point: Any, metric: Metric) -> None:
        state = _measured(metric, self.rounds, point) if metric.native else None
        if not isinstance(point, ExponentialHistogramDataPoint):  # the newest of each explicit bucket is kept
            edges = [*point.explicit_bounds, math.inf]
            point.exemplars[:] = [each[-1] for each in _by_bucket(point.exemplars, edges).values()]
        if self.format.native and state:
            self._put(name, labels, Sample(_native_of(state), self._start(point), self._exemplars_of_native(point)))
        if isinstance(point, ExponentialHistogramDataPoint):
            if self.format.native and (state or point.scale >= -4):
                if not state:
                    self._put(name, labels, Sample(_native_of(point), self._start(point), self._exemplars_of_native(point)))
                return
            buckets, bounds = _filled(point), self.les.get((f"{name}_bucket", labels), ())
            assert set(buckets) <= set(bounds), (name, labels, buckets, bounds)
            counts = {bound: max((n for upper, n in buckets.items() if upper <= bound), default=0) for bound in bounds}
        else:
            bounds = [*map(float, point.explicit_bounds), math.inf]
            counts = dict(zip(bounds, accumulate(point.bucket_counts), strict=True))
        self.read = 0
        start = self._start(point)
        marks = _by_bucket(point.exemplars, sorted(bounds))
        for bound, count in counts.items():
            # OpenMetrics 2.0 has all exemplars behind the series, the others one in each bucket.
            shown = marks.get(bound, [])[0 if self.format is Format.OPENMETRICS_2 else -1 :]
            self._put(f"{name}_bucket", labels | {("le", bound)}, Sample(float(count), start, self._exemplars(shown)))
        if self.format.native or (point.sum >= 0 and not any(bound < 0 for bound in bounds)):
            self._put(f"{name}_count", labels, Sample(float(point.count), start))
            self._put(f"{name}_sum", labels, Sample(plain(_float(point.sum)), start))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _text(value: Any) -> str:
    return _encodable(value if isinstance(value, str) else json.dumps(value))


def _label(key: str, escaping: str) -> str:
    if escaping == "underscores" or not key:
        key = re.sub("[^a-zA-Z0-9]+", "_", key)
        key = f"_{key}" if not key or key[0].isdigit() else key
    else:
        key = _escaped(_encodable(key), escaping, colon=False)
    return f"exported_{key}" if key in ("le", "__name__") else key


def _escaped(name: str, escaping: str, *, colon: bool) -> str:
    """https://prometheus.io/docs/instrumenting/escaping_schemes/ as ``model.EscapeMetricFamily`` does it."""
    legal = "a-zA-Z0-9_:" if colon else "a-zA-Z0-9_"
    if escaping in ("underscores", "allow-utf-8") or re.fullmatch(f"(?![0-9])[{legal}]+", name):
        return name
    other = re.compile(rf"^[0-9]|[^{legal}]|_", re.DOTALL)
    if escaping == "dots":
        return other.sub(lambda found: "_dot_" if found[0] == "." else "__", name)
    return "U__" + other.sub(lambda found: "__" if found[0] == "_" else f"_{ord(found[0]):x}_", name)


def _filled(point: Any) -> dict[float, int]:
    """Upper bound -> cumulative count of each filled bucket of an exponential histogram, and of all values."""
    buckets = [
        (-exact_power(point.negative.offset + i, point.scale) or 0.0, count)
        for i, count in reversed(list(enumerate(point.negative.bucket_counts)))
        if count
    ]
    zero = getattr(point, "zero_threshold", 0.0)
    buckets += [(zero if zero > 1e-128 else 0.0, point.zero_count)] if point.zero_count else []
    buckets += [
        (exact_power(point.positive.offset + i + 1, point.scale), count)
        for i, count in enumerate(point.positive.bucket_counts)
        if count
    ]
    bounds = [bound for bound, _ in buckets]
    return {**dict(zip(bounds, accumulate(count for _, count in buckets), strict=True)), math.inf: point.count}


def _native_of(point: Any) -> Native:
    schema = min(point.scale, 8)
    sides = [dict(_coarser(side, point.scale - schema)) for side in (point.positive, point.negative)]
    # A bucket that begins below the zero threshold belongs to the zero bucket, which is widened to its end.
    zero = getattr(point, "zero_threshold", 1e-128)  # the SDK's own points have none
    inside = {index for side in sides for index in side if exact_power(index - 1, schema) < zero}
    threshold = max([zero, *(exact_power(index, schema) for index in inside)])
    zero_count = point.zero_count + sum(count for side in sides for index, count in side.items() if index in inside)
    positive, negative = ({index: float(n) for index, n in side.items() if index not in inside} for side in sides)
    return Native(schema, threshold, float(zero_count), float(point.count), plain(_float(point.sum)), positive, negative)


def _measured(metric: Metric, rounds: int, point: Any) -> Any:
    """A point of an exponential histogram with the measurements of the series: at the finest scale at which they fit."""
    native = metric.native
    assert native is not None
    values = [
        value
        for attributes, value, _ in metric.recorded(rounds)
        if {k: v for k, v in attributes.items() if k and (metric.kept is None or k in metric.kept)} == point.attributes
    ]
    filled = [max(value, float_info.min) for value in values if value > native.zero_threshold]
    for scale in range(native.max_scale, -5, -1):
        indexes = Counter(_index(value, scale) for value in filled)
        first = min(indexes, default=0)
        counts = [indexes[index] for index in range(first, max(indexes, default=-1) + 1)]
        if len(counts) <= native.max_size or scale == -4:
            break
    return SimpleNamespace(
        scale=scale,
        sum=point.sum,
        count=len(values),
        zero_count=len(values) - len(filled),
        zero_threshold=native.zero_threshold,
        positive=SimpleNamespace(offset=first - 1, bucket_counts=counts),
        negative=SimpleNamespace(offset=0, bucket_counts=()),
    )


def _index(value: float, scale: int) -> int:
    """Prometheus' index of the bucket that holds a positive number: the first whose upper bound is not below it."""
    index = math.floor(math.log2(value) * 2.0**scale) - 1
    while exact_power(index, scale) < value:
        index += 1
    return index


def keep_exemplars(data: MetricsData | None, earlier: dict[Any, list[Any]]) -> None:
    """Adds to each point the exemplars of earlier collects, which the SDK gives only once."""
    for resource_metrics in data.resource_metrics if data else ():
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                points: Any = metric.data.data_points
                for point in points:
                    known = earlier.setdefault((metric.name, frozenset(point.attributes.items())), [])
                    known += point.exemplars
                    point.exemplars[:] = known


def _coarser(side: Any, shift: int) -> Iterator[tuple[int, int]]:
    """Index and count of each filled bucket, numbered by upper bound, after ``shift`` halvings of the scale."""
    found: dict[int, int] = {}
    for index, count in enumerate(side.bucket_counts, side.offset):
        if count:
            found[(index >> shift) + 1] = found.get((index >> shift) + 1, 0) + count
    yield from found.items()


def _time(exemplar: Any) -> int:
    return int(exemplar.time_unix_nano)


def _by_bucket(exemplars: Iterable[Any], bounds: Sequence[float]) -> dict[float, list[Any]]:
    """The exemplars of each bucket, the newest last, by its upper bound."""
    found: dict[float, list[Any]] = {}
    for each in sorted(exemplars, key=_time):
        found.setdefault(bounds[bisect_left(bounds, each.value)], []).append(each)
    return found
