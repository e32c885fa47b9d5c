"""Hypothesis strategies for recorded metrics, and the samples expected of them, computed from the SDK's ``MetricsData``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import accumulate
from typing import Any

from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, MetricReader, MetricsData, Sum
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation, View
from prometheus_client.samples import Exemplar

from tests.helpers.providers import RESOURCE, Samples, plain, span

KINDS = ("counter", "up_down_counter", "gauge", "histogram", "exponential", "observable_counter", "observable_gauge")
UNITS = {"": "", "s": "seconds", "By": "bytes", "ms": "milliseconds", "{x}": "", "By/s": "bytes_per_second"}

tame_names = st.text("abcdef", min_size=1, max_size=6)
wild_names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_./-]{0,12}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
wild_values = st.one_of(texts, st.sampled_from(['"', "\\", "\n", 'a"b\\c\nd', "é😀", ""]), st.booleans(), st.integers(-3, 3))
# The SDK leaves out values that are not finite, so the reader must, too.
levels = st.floats() | st.sampled_from(
    [math.nan, math.inf, -math.inf]
)  # the SDK leaves out values that are not finite, so the reader must, too
positive = st.one_of(st.floats(0, 1e308), st.integers(0, 2**60), st.floats(0, 100))


@dataclass(frozen=True)
class Recording:
    """One instrument with its measurements."""

    scope: str
    name: str
    kind: str
    unit: str
    description: str
    measurements: list[tuple[dict[str, Any], float, int]]
    """Attributes, value, and the number of the span that is current (0: none)."""


@st.composite
def recordings(draw: st.DrawFn, *, wild: bool) -> Recording:
    """Recordings of a host; with ``wild`` their names and labels clash and need sanitising."""
    kind = draw(st.sampled_from(KINDS if wild else [k for k in KINDS if k != "exponential"]))
    numbers = levels if "gauge" in kind or kind == "up_down_counter" else positive
    keys = st.sampled_from(["a", "b", "a.b", "a_b", "0k", "le", "__x", "ü"]) if wild else st.sampled_from(["a", "bc"])
    values = wild_values if wild else texts.filter(bool)
    sets = draw(st.lists(st.dictionaries(keys, values, max_size=3), min_size=1, max_size=3))
    measurement = st.tuples(st.sampled_from(sets), numbers, st.integers(0, 3))
    return Recording(
        draw(st.sampled_from(["one", "two"])) if wild else "one",
        draw(wild_names if wild else tame_names),
        kind,
        draw(st.sampled_from(["1", *UNITS] if wild else list(UNITS))),
        draw(texts),
        draw(st.lists(measurement, min_size=1, max_size=6)),
    )


bounds = st.lists(st.floats(0, 1e9), max_size=5, unique=True).map(sorted)


def build(state: list[Recording], edges: list[float], readers: list[MetricReader]) -> MeterProvider:
    """Returns a provider in which all recordings have been made."""
    views = [
        View(instrument_name=r.name, meter_name=r.scope, aggregation=ExponentialBucketHistogramAggregation(max_size=20))
        if r.kind == "exponential"
        else View(instrument_name=r.name, meter_name=r.scope, aggregation=ExplicitBucketHistogramAggregation(edges))
        for r in {(r.scope, r.name.lower()): r for r in state if r.kind in ("histogram", "exponential")}.values()
    ]
    meters = MeterProvider(readers, RESOURCE, AlwaysOnExemplarFilter(), shutdown_on_exit=False, views=views)
    for recording in state:
        _record(meters, recording)
    return meters


def _record(meters: MeterProvider, recording: Recording) -> None:
    meter = meters.get_meter(recording.scope)
    kind = "histogram" if recording.kind == "exponential" else recording.kind
    create = getattr(meter, f"create_{kind}")
    what = (recording.unit, recording.description)
    if kind.startswith("observable"):
        # A callback may report one label set twice; the SDK then sums or keeps the last. Either state will do here.
        create(recording.name, [lambda _: [Observation(v, a) for a, v, _n in recording.measurements]], *what)
        return
    instrument = create(recording.name, *what)
    feed = instrument.record if kind == "histogram" else instrument.set if kind == "gauge" else instrument.add
    for attributes, value, number in recording.measurements:
        if number:
            with trace.use_span(span(number)):
                feed(value, attributes)
        else:
            feed(value, attributes)


def expected(data: MetricsData | None, *, all_sums: bool = False) -> Iterator[tuple[str, Samples, list[Any]]]:
    """Yields family name, samples and exemplars of each metric, by a second, independent implementation of the rules.

    Args:
        data: What the SDK collected.
        all_sums: Whether histograms that may fall have a sum and a count, as in protobuf.
    """
    for resource_metrics in data.resource_metrics if data else ():
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                name = _name(metric.name, metric.unit or "", metric.data)
                for point in metric.data.data_points:
                    yield name, dict(_samples(name, metric.data, point, all_sums)), list(point.exemplars)


def _name(name: str, unit: str, data: Any) -> str:
    counter = isinstance(data, Sum) and data.is_monotonic
    suffixed = counter or not isinstance(data, (Gauge, Sum))
    name = re.sub("[^a-zA-Z0-9:]+", "_", name)
    name = name.removesuffix("_total") if counter and name != "_total" else name
    word = {**UNITS, "1": "" if suffixed else "ratio"}[unit]
    if word and f"_{word}_" not in f"_{name}_":
        return name.rstrip("_") + "_" + word
    return name.rstrip("_") if suffixed else name


def labels_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Returns the labels that have a value."""
    found: dict[str, list[str]] = {}
    for key in sorted(attributes):
        value = attributes[key]
        name = re.sub("[^a-zA-Z0-9]+", "_", key)
        name = "_" + name if name[0].isdigit() else "exported_le" if name == "le" else name
        found.setdefault(name, []).append(value if isinstance(value, str) else json.dumps(value))
    return {key: ";".join(values) for key, values in found.items() if ";".join(values)}


def _samples(name: str, data: Any, point: Any, all_sums: bool) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], Any]]:
    labels = labels_of(point.attributes)
    if isinstance(data, (Gauge, Sum)):
        suffix = "_total" if isinstance(data, Sum) and data.is_monotonic else ""
        yield (name + suffix, frozenset(labels.items())), plain(point.value)
        return
    counts, edges = (point.bucket_counts, point.explicit_bounds) if hasattr(point, "bucket_counts") else _explicit(point)
    for edge, count in zip([*edges, math.inf], accumulate(counts), strict=True):
        yield (f"{name}_bucket", frozenset({**labels, "le": edge}.items())), float(count)
    if not all_sums and (
        not point.sum >= 0 or any(edge < 0 for edge in edges)
    ):  # a View made a histogram of an up-down counter
        return
    yield (f"{name}_count", frozenset(labels.items())), float(point.count)
    yield (f"{name}_sum", frozenset(labels.items())), plain(point.sum)


def _explicit(point: Any) -> tuple[list[int], list[float]]:
    """The filled buckets, and the zero bucket if there is no bucket above it or one below it."""
    found = [
        (-exact_power(point.negative.offset + i, point.scale), count)
        for i, count in reversed(list(enumerate(point.negative.bucket_counts)))
        if count
    ]
    if point.zero_count or found or not any(point.positive.bucket_counts):
        found.append((0.0, point.zero_count))
    for i, count in enumerate(point.positive.bucket_counts):
        if count:
            found.append((exact_power(point.positive.offset + i + 1, point.scale), count))
    return [*(count for _, count in found), 0], [edge for edge, _ in found]


def exact_power(index: int, scale: int) -> float:
    """Returns the float nearest to 2**(index * 2**-scale), computed with 60 digits."""
    digits = Context(prec=60)
    exponent = digits.divide(digits.multiply(digits.ln(Decimal(2)), Decimal(index)), digits.power(Decimal(2), scale))
    return float(digits.exp(exponent))


def exemplars_of(metrics: Any) -> list[tuple[str, float, Exemplar]]:
    """Returns sample name, upper bound (infinite for counters) and exemplar of each sample that has one."""
    return [
        (sample.name, float(sample.labels.get("le", "inf")), sample.exemplar)
        for metric in metrics
        for sample in metric.samples
        if sample.exemplar
    ]
