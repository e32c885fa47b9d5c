"""Hypothesis strategies for whole hosts: instruments of every kind, any Unicode in names and labels, and any values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from math import isfinite
from random import Random
from struct import unpack
from sys import float_info
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource

from telemetry._sdk.native import histogram_aggregation
from telemetry.metric.definition import Native
from telemetry.metric.naming import Translation
from tests.helpers.providers import span

__all__ = ["ESCAPINGS", "ROUNDS", "UNITS", "Host", "Metric", "Recorder", "Scope", "hosts"]

Attributes = Mapping[str, Any]
ROUNDS = 3
"""A host is scraped after each third of its measurements."""


class Scope(NamedTuple):
    """An instrumentation scope."""

    name: str
    version: str
    schema_url: str
    attributes: Attributes


class Metric(NamedTuple):
    """An instrument, the View that it is shown by, and its measurements.

    Attributes:
        kind: The function of the meter that creates it, without ``create_``.
        aggregation: That of the View; None: the instrument's own.
        kept: The attribute keys that the View keeps; None: all.
        native: The native buckets that the aggregation keeps, beside explicit ones or alone.
        info: Whether the reader shows it as OpenMetrics *info*.
        measurements: Attributes, value, and the number of the span that is current (0: none).
    """

    scope: int
    name: str
    kind: str
    aggregation: Aggregation | None
    unit: str
    description: str
    kept: set[str] | None
    native: Native | None
    info: bool
    measurements: list[tuple[Attributes, float, int]]

    def recorded(self, rounds: int) -> list[tuple[Attributes, float, int]]:
        """The measurements of the first rounds.

        The SDK's own exponential histogram is recorded in one: where a collect follows another, it may lose measurements, and
        raise "Incorrect merge scale".
        """
        if type(self.aggregation) is ExponentialBucketHistogramAggregation:
            return self.measurements
        return self.measurements[: -(-len(self.measurements) * rounds // ROUNDS)]


class Host(NamedTuple):
    """A process with its metrics, and how its reader names them."""

    translation: Translation
    prefix: str
    scopes: tuple[Scope, Scope]
    scope_labels: bool
    resource: Attributes
    target_info: bool
    resource_labels: bool
    """Whether the resource's attributes whose key begins with ``r`` are labels of each series."""
    created: bool
    escaping: str
    """What the scraper asks for."""
    metrics: list[Metric]


T = TypeVar("T")


def _seeded(simple: Sequence[T], build: Callable[[Random], T]) -> st.SearchStrategy[T]:
    """Draws one of the simple ones, or one that is built at random from one drawn number: a draw for each character is slow."""

    def from_seed(seed: int) -> T:
        if seed < len(simple):
            return simple[seed]
        random = Random(seed)
        return random.choice(simple) if random.random() < 0.5 else build(random)

    return st.integers(0, 2**32).map(from_seed)


_TEXTS = ["", "a", "b", "cd", '"', "\\", "\n", "\r", "\r\n", "\0", "\t", " ", "{}", ",", "# EOF\n", "\\n", "a" * 130]
_TEXTS += [
    'a"b\\c\nd',
    "\ud800",
    "a\udfffb",
    "é😀",
    "שלום",
    "\u202eabc",
    "\ufeff",
    "\x85",
    "\u2028",
    "\x7f",
    "\x1f",
    "\U0010ffff",
]
_KEYS = ["a", "b", "a.b", "a_b", "0k", "le", "quantile", "__name__", "__x", "ü", "r.x", "k:e", 'q"', "job", "trace_id"]
_KEYS += ["", "\n", "😀", "\\"]
_NAMES = ["a", "a.b", "a_b", "x_total", "x.total", "_total", "total", "x_info", "x_seconds", "seconds", "x_bucket", "x_"]
_NAMES += ["x__", "0x", ":x", "é.ü", 'q"', "🦀", "#", "x_created", "x_count", "x_sum", "-", "a/b-c", "a.", ".", "ratio"]
_NAMES += ["x_ratio", "a b", "n\nm", "n\0m", "n\ud800"]
ESCAPINGS = ("underscores", "allow-utf-8", "dots", "values")
UNITS = {"": ("", ""), "1": ("ratio", ""), "s": ("seconds",) * 2, "By": ("bytes",) * 2, "{x}": ("", "")}
UNITS |= {"By/s": ("bytes_per_second",) * 2, "weird unit": ("weird_unit",) * 2, "%": ("percent",) * 2}
"""Units with the words that they are in the names of gauges and of others."""
_AMOUNTS = [0, 0.0, 1, 2.0, 0.1, 0.5, 3.25, 1e-5, 1e-320, 5e-324, 1e-128, 2.0**-425, 1e308, float_info.max]
_AMOUNTS += [2**53 + 1, 2**60]
_LEVELS = [*_AMOUNTS, -0.0, -1, -1.0, -0.1, -5e-324, -1e-128, -1e308, -(2**64)]
_BOUNDS: list[tuple[float, ...]] = [(), (0,), (0.0,), (-1.0,), (1, 2, 5), (-5, -0.5, 0, 0.5, 5), (0.005, 0.01, 1e6, 1e21)]
_BOUNDS += [(5e-324,), (1e308,), tuple(map(float, range(60))), (0.1, 0.25, 0.5), (-1e308, -5e-324, 2**53)]


def _text(random: Random) -> str:
    """Up to six characters of any kind, surrogates and null bytes included."""
    limits = [random.choice([0x80, 0x80, 0x250, 0x3000, 0x110000]) for _ in range(random.randrange(7))]
    return "".join(chr(random.randrange(limit)) for limit in limits)


def _value(random: Random) -> Any:
    others = [True, False, 0, -3, 2**63, 1.5, ("a", "b"), (1, 2)]
    return random.choice(others) if random.random() < 0.2 else random.choice([random.choice(_TEXTS), _text(random)])


def _some(random: Random) -> dict[str, Any]:
    keys = [random.choice(_KEYS) if random.random() < 0.7 else _text(random) for _ in range(random.randrange(4))]
    return {key: _value(random) for key in keys}


def _amount(random: Random) -> float:
    """A number that is not negative: of a usual size, or of any size that a float has."""
    if random.random() < 0.3:
        return random.choice([random.randrange(20), random.uniform(0, 100), random.randrange(2**64)])
    return abs(_any_float(random))


def _any_float(random: Random) -> float:
    """A finite float of any bits."""
    while not isfinite(number := unpack("<d", random.randbytes(8))[0]):
        pass
    return float(number)


def _level(random: Random) -> float:
    return random.choice([_amount(random), -_amount(random), _any_float(random)])


def _edges(random: Random) -> tuple[float, ...]:
    return tuple(sorted({_level(random) + 0.0 for _ in range(random.randrange(8))}))


def _measured(random: Random, simple: Sequence[float], number: Callable[[Random], float]) -> tuple[int, float, int]:
    return random.randrange(3), random.choice(simple) if random.random() < 0.4 else number(random), random.randrange(4)


def _measurements(
    simple: Sequence[float], number: Callable[[Random], float]
) -> st.SearchStrategy[list[tuple[int, float, int]]]:
    first = [(0, each, 0) for each in simple]
    return st.lists(_seeded(first, lambda random: _measured(random, simple, number)), max_size=5)


_amounts, _levels = _measurements(_AMOUNTS, _amount), _measurements(_LEVELS, _level)
_texts = _seeded(_TEXTS, _text)
_names = _seeded(_NAMES, _text)
_simple: list[dict[str, Any]] = [{}, {"a": "b"}, {"a": "c"}]
_attributes = _seeded(_simple, _some)
_sets = _seeded([_simple], lambda random: [_some(random) for _ in range(3)])
_explicit = _seeded(_BOUNDS, _edges).map(ExplicitBucketHistogramAggregation)
_exponential = st.builds(
    ExponentialBucketHistogramAggregation, max_size=st.sampled_from([2, 4, 20, 160]), max_scale=st.integers(-10, 20)
)
_natives = st.builds(
    Native,
    max_scale=st.integers(-4, 8),
    max_size=st.sampled_from([2, 4, 20, 160]),
    zero_threshold=st.sampled_from([1e-128, 0.0, 1e-3, 0.5, 1.0]),
)
_some_bounds = _seeded([each for each in _BOUNDS if each], lambda random: _edges(random) or (1.0,))
_none: st.SearchStrategy[None] = st.none()
_twofold = st.tuples(_some_bounds, _natives)
_native_only = st.tuples(st.just(()), _natives)
_KINDS: list[tuple[str, st.SearchStrategy[Any], st.SearchStrategy[Any]]] = [
    ("counter", _none, _amounts),
    ("up_down_counter", _none, _levels),
    ("gauge", _none, _levels),
    ("histogram", _explicit, _amounts),
    ("histogram", _exponential, _amounts),
    ("histogram", _twofold, _amounts),
    ("histogram", _native_only, _amounts),
    ("up_down_counter", _explicit, _levels),
    ("up_down_counter", _exponential, _levels),
    ("observable_counter", _none, _amounts),
    ("observable_gauge", _none, _levels),
]


@st.composite
def _metric(draw: st.DrawFn) -> Metric:
    kind, aggregations, measurements = draw(st.sampled_from(_KINDS))
    sets = draw(_sets)
    aggregation, native, name = draw(aggregations), None, draw(_names)
    if isinstance(aggregation, tuple):
        native = aggregation[1]
        aggregation = histogram_aggregation(*aggregation)
    # The SDK puts integers into buckets as they are; what is written is a float, which may lie in another bucket.
    exact = float if aggregation is not None else lambda value: value
    return Metric(
        draw(st.integers(0, 1)),
        name,
        kind,
        aggregation,
        draw(st.sampled_from(list(UNITS))),
        draw(_texts),
        draw(st.sampled_from([None, {"a", "le", ""}])),
        native,
        kind == "gauge" and name.islower() and draw(st.booleans()),
        [(sets[which], exact(value), number) for which, value, number in draw(measurements)],
    )


def _distinct(metrics: list[Metric]) -> list[Metric]:
    """With several metrics, each gets a beginning that no other name has: clashes have tests of their own."""
    return metrics if len(metrics) < 2 else [each._replace(name=f"m{i}{each.name}") for i, each in enumerate(metrics)]


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    """Without the empty key, which the SDK drops from scopes and resources with a warning."""
    return {key: value for key, value in attributes.items() if key}


def _scope(random: Random) -> Scope:
    return Scope(
        random.choice(["one", "é"]), random.choice(["", "1.0"]), random.choice(["", "https://x/1"]), _named(_some(random))
    )


_scopes = _seeded([Scope("one", "", "", {}), Scope("two", "1", "", {})], _scope)
hosts: st.SearchStrategy[Host] = st.builds(
    Host,
    translation=st.sampled_from(Translation),
    prefix=st.sampled_from(["", "p", "p.x", "é"]),
    scopes=st.tuples(_scopes, _scopes),
    scope_labels=st.booleans(),
    resource=_attributes.map(_named),
    target_info=st.booleans(),
    resource_labels=st.booleans(),
    created=st.booleans(),
    escaping=st.sampled_from(ESCAPINGS),
    metrics=st.lists(_metric(), min_size=1, max_size=3).map(_distinct),
)
"""Hosts with one to three metrics."""


class Recorder:
    """A provider of the host's instruments.

    Args:
        host: What is recorded.
        readers: Read it.
    """

    def __init__(self, host: Host, readers: list[MetricReader]) -> None:
        self._host = host
        self._rounds = 0
        views = [
            View(instrument_name=f"i{i}", name=each.name, aggregation=each.aggregation, attribute_keys=each.kept)
            for i, each in enumerate(host.metrics)
        ]
        resource = Resource(host.resource)
        self.provider = MeterProvider(readers, resource, AlwaysOnExemplarFilter(), shutdown_on_exit=False, views=views)
        self._feeds = [self._instrument(f"i{i}", each) for i, each in enumerate(host.metrics)]

    def _instrument(self, name: str, metric: Metric) -> Callable[..., None] | None:
        scope = self._host.scopes[metric.scope]
        meter = self.provider.get_meter(scope.name, scope.version, scope.schema_url, scope.attributes)
        create = getattr(meter, f"create_{metric.kind}")
        if metric.kind.startswith("observable"):
            create(name, [lambda _: self._observed(metric)], metric.unit, metric.description)
            return None
        instrument = create(name, metric.unit, metric.description)
        feed: Callable[..., None] = getattr(instrument, {"histogram": "record", "gauge": "set"}.get(metric.kind, "add"))
        return feed

    def _observed(self, metric: Metric) -> list[Observation]:
        """The last observation of each label set: which of several counts is another subject."""
        measurements = metric.recorded(self._rounds)
        return list({tuple(sorted(a.items(), key=str)): Observation(v, a) for a, v, _ in measurements}.values())

    def record(self) -> None:
        """Records the measurements of the next round."""
        for metric, feed in zip(self._host.metrics, self._feeds, strict=True):
            if feed is not None:
                done = len(metric.recorded(self._rounds)) if self._rounds else 0
                for attributes, value, number in metric.recorded(self._rounds + 1)[done:]:
                    with trace.use_span(span(number)) if number else nullcontext():
                        feed(value, attributes)
        self._rounds += 1
