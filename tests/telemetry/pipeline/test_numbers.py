"""Every number that a caller may give is recorded alike for Prometheus and OTLP, or refused and counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from math import copysign, inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric as ProtoMetric
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from telemetry import Telemetry
from telemetry.instruments.number import LARGEST, finite_number
from telemetry.metric import (
    Catalogue,
    counter,
    gauge,
    histogram,
    observable_counter,
    observable_gauge,
    telemetry_metrics,
    up_down_counter,
)
from tests.helpers.providers import OPENMETRICS, families
from tests.helpers.samples import read

HITS = counter("hits", "", "Hits")
RUNNING = up_down_counter("running", "", "Running")
TOOK = histogram("took", "", "Took", bounds=(0.1, 1))
LEVEL = gauge("level", "", "Level")
SPENT = observable_counter("spent", "", "Spent")
DEPTH = observable_gauge("depth", "", "Depth")
ROWS = Catalogue([HITS, RUNNING, TOOK, LEVEL, SPENT, DEPTH, *telemetry_metrics.TELEMETRY])
DELTA = dict.fromkeys((Counter, Histogram, UpDownCounter, ObservableCounter), AggregationTemporality.DELTA)


class Odd(float):
    """A float whose own methods lie."""

    def __float__(self) -> float:
        return nan

    def __add__(self, other: float) -> float:
        return inf

    __radd__ = __add__


class OddInt(int):
    """An integer whose own methods lie."""

    def __int__(self) -> int:
        return 10**400

    __index__ = __int__

    def __add__(self, other: int) -> int:
        return 10**400

    __radd__ = __add__


class Scalar:
    """Has no class of number, like a scalar of numpy."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __float__(self) -> float:
        return float(self._value)


class Index:
    """Converts to an integer, like an integer scalar of numpy."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


class Failing:
    """Fails in every conversion, and has no repr."""

    def __float__(self) -> float:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        raise ZeroDivisionError


class Color(IntEnum):
    RED = 3


RECORDED: list[tuple[Any, float]] = [
    *((0, 0), (-0.0, 0.0), (1, 1), (5e-324, 5e-324), (LARGEST, LARGEST), (2**53 + 1, 2.0**53), (2**63 - 1, 2.0**63)),
    *((True, 1), (Decimal("0.25"), 0.25), (Fraction(1, 4), 0.25), (Color.RED, 3), (Odd(2.5), 2.5), (OddInt(7), 7)),
    *((Scalar(0.5), 0.5), (Scalar(2), 2), (Index(9), 9), (Decimal(2) ** 70, 2.0**70), (1e300, 1e300)),
]
NOT_FINITE: list[Any] = [
    *(nan, inf, -inf, 2**63, -(2**63) - 1, 10**400, -(10**400), 10**5000, Decimal("1e400"), Decimal("inf"), Decimal("nan")),
    *(Fraction(10**400), Scalar(inf), Scalar(10**400), Index(2**63), Odd(inf), OddInt(2**63)),
]
NO_NUMBERS: list[Any] = ["1", b"1", None, 1j, [], object(), Failing(), Decimal("snan"), float, Scalar("x")]

WAYS: dict[str, tuple[Callable[[Telemetry, Any], object], str]] = {
    "counter": (lambda t, n: t[HITS].labels().inc(n), "hits_total"),
    "counter.add": (lambda t, n: t[HITS].add(n), "hits_total"),
    "counter.add in a context": (lambda t, n: t[HITS].add(n, None, Context()), "hits_total"),
    "counter, no exemplar": (lambda t, n: t[HITS].labels().record_with_exemplar(n, None), "hits_total"),
    "up-down counter": (lambda t, n: t[RUNNING].labels().inc(n), "running"),
    "histogram": (lambda t, n: t[TOOK].labels().observe(n), "took_sum"),
    "histogram.record in a context": (lambda t, n: t[TOOK].record(n, None, Context()), "took_sum"),
    "gauge": (lambda t, n: t[LEVEL].labels().set(n), "level"),
    "gauge.inc": (lambda t, n: t[LEVEL].labels().inc(n), "level"),
    "gauge function": (lambda t, n: t[LEVEL].labels().set_function(lambda: n), "level"),
    "observable counter": (lambda t, n: t[SPENT].watch(lambda: n), "spent_total"),
    "observable gauge": (lambda t, n: t[DEPTH].watch(lambda: n), "depth"),
}


def new(way: str = "cumulative") -> tuple[Telemetry, InMemoryMetricReader]:
    reader = InMemoryMetricReader(DELTA if way == "delta" else {})
    provider = TracerProvider(shutdown_on_exit=False)
    return Telemetry(ROWS, metric_readers=[reader], tracer_provider=provider), reader


def pushed(reader: InMemoryMetricReader) -> dict[str, float]:
    """Returns value, or sum of a histogram, by metric name as the OTLP encoder writes it."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    request = type(encode_metrics(data)).FromString(encode_metrics(data).SerializeToString())
    metrics = [m for resource in request.resource_metrics for scope in resource.scope_metrics for m in scope.metrics]
    return {m.name: _number(m) for m in metrics if not m.name.startswith("agentos")}


def _number(metric: ProtoMetric) -> float:
    if metric.HasField("histogram"):
        return float(metric.histogram.data_points[0].sum)
    (point,) = (metric.sum if metric.HasField("sum") else metric.gauge).data_points
    return float(point.as_int if point.HasField("as_int") else point.as_double)


def dropped(telemetry: Telemetry) -> dict[str, int]:
    return {reason: n for (_, reason), n in telemetry.diagnostics.values(telemetry_metrics.DROPPED.name).items()}


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
@pytest.mark.parametrize("way", WAYS)
def test_number_is_recorded_alike(way: str, temporality: str) -> None:
    """Each number, of whatever type, is the same on /metrics and in OTLP."""
    record, name = WAYS[way]
    for value, expected in RECORDED:
        telemetry, reader = new(temporality)
        record(telemetry, value)
        shown = float(read(telemetry)[name, ()])
        assert shown == expected
        assert copysign(1.0, shown) == 1.0 or way in ("gauge", "gauge function", "observable counter", "observable gauge")
        assert pushed(reader)[name.removesuffix("_total").removesuffix("_sum")] == shown
        assert dropped(telemetry) == {}


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
@pytest.mark.parametrize("way", WAYS)
def test_number_beyond_64_bits_or_float_is_refused(way: str, temporality: str) -> None:
    """Numbers that OTLP or a float cannot carry are counted as not finite, and shown nowhere."""
    record, name = WAYS[way]
    for value in NOT_FINITE:
        telemetry, reader = new(temporality)
        record(telemetry, value)
        assert read(telemetry).get((name, ()), 0.0) == 0.0
        assert dropped(telemetry) == {"not_finite": 1}
        assert not any(pushed(reader).values())


@pytest.mark.parametrize("way", [way for way in WAYS if "function" not in way and "observable" not in way])
def test_what_is_no_number_is_refused(way: str) -> None:
    """Text, None and other objects never raise into the caller: each is counted as failed."""
    record, name = WAYS[way]
    for value in NO_NUMBERS:
        telemetry, _ = new()
        record(telemetry, value)
        assert read(telemetry).get((name, ()), 0.0) == 0.0
        assert dropped(telemetry) == {"failed": 1}


@pytest.mark.parametrize("way", [way for way in WAYS if "function" in way or "observable" in way])
def test_callback_without_a_number_shows_nothing(way: str) -> None:
    """A function or callback that returns no number is counted, as a failure of the value or of the call."""
    record, name = WAYS[way]
    for value in NO_NUMBERS:
        telemetry, reader = new()
        record(telemetry, value)
        assert (name, ()) not in read(telemetry)
        failures = telemetry.diagnostics.values(telemetry_metrics.CALLBACK_FAILURES.name)
        assert dropped(telemetry) == {"failed": 1} or sum(failures.values()) == 1
        assert pushed(reader) == {}


@pytest.mark.parametrize("value", [10**400, 10**5000, Failing(), nan, "x", None, -1], ids=lambda value: type(value).__name__)
def test_dec_never_raises(value: Any) -> None:
    """``dec`` refuses what ``inc`` refuses."""
    telemetry, _ = new()
    telemetry[RUNNING].labels().dec(value)
    telemetry[LEVEL].labels().dec(value)
    shown = {key: number for key, number in read(telemetry).items() if key[0] in ("running", "level")}
    assert shown == ({("running", ()): 1.0, ("level", ()): 1.0} if value == -1 else {})


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
@pytest.mark.parametrize("collects", [False, True])
def test_sum_beyond_64_bits_goes_on_as_a_float(temporality: str, collects: bool) -> None:
    """A sum of integers that each fit, but whose total does not, neither ends the export nor falls."""
    telemetry, reader = new(temporality)
    for amount in (2**63 - 1, 1, 2**62, 2**53, 3):
        telemetry[HITS].labels().inc(amount)
        telemetry[RUNNING].labels().dec(amount)
        if collects:
            pushed(reader)
    total = 2.0**63 + 2.0**62 + 2.0**53
    assert read(telemetry)["hits_total", ()] == total
    assert read(telemetry)["running", ()] == -total
    if not collects:
        assert pushed(reader) == {"hits": total, "running": -total}


def test_exact_below_two_to_the_53rd() -> None:
    """Sums of small and large integers are exact up to 2**53."""
    telemetry, reader = new()
    for amount in (2**52, 2**51, 2**31, 2**31 - 1, 1, 1):
        telemetry[HITS].labels().inc(amount)
    assert read(telemetry)["hits_total", ()] == 2**52 + 2**51 + 2**32 + 1
    assert pushed(reader)["hits"] == 2**52 + 2**51 + 2**32 + 1


def test_sum_of_callbacks_beyond_64_bits() -> None:
    """Callbacks whose values come to one series may add up to more than 64 bits."""
    telemetry, reader = new()
    for _ in range(3):
        telemetry[SPENT].watch(lambda: 2**62 + 2**61)
    assert read(telemetry)["spent_total", ()] == 3 * (2.0**62 + 2.0**61)
    assert pushed(reader) == {"spent": 3 * (2.0**62 + 2.0**61)}


@pytest.mark.parametrize("value", [2**63, 10**400])
def test_refusal_is_logged_once_and_readable(value: int, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one line of bounded length for each reason, whatever the number."""
    telemetry, _ = new()
    for _ in range(3):
        telemetry[HITS].labels().inc(value)
    (record,) = caplog.records
    assert record.getMessage().startswith("hits_total: a measurement was refused (not_finite): ")
    assert len(record.getMessage()) < 300


NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.integers().map(lambda n: n * 10**300),
    st.floats(),
    st.decimals(),
    st.fractions(),
    st.booleans(),
    st.complex_numbers(),
    st.text(),
    st.none(),
    st.floats().map(Scalar),
    st.integers().map(Index),
    st.floats().map(Odd),
    st.integers().map(OddInt),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(sorted(WAYS)), NUMBERS), max_size=8), st.sampled_from(["cumulative", "delta"]))
def test_any_numbers_by_any_way(recordings: list[tuple[str, Any]], temporality: str) -> None:
    """Whatever is recorded by whatever way, both text formats can be parsed, OTLP encoded, and the values agree."""
    telemetry, reader = new(temporality)
    for way, value in recordings:
        WAYS[way][0](telemetry, value)
    shown = read(telemetry)
    names = {name: f"{name}{suffix}" for name, suffix in (("hits", "_total"), ("took", "_sum"), ("spent", "_total"))}
    for name, value in pushed(reader).items():
        number = shown[names.get(name, name), ()]
        assert (float(number) if name == "took" else number) == value  # OTLP has the sum of a histogram as a double
    families(telemetry.reader.expose(OPENMETRICS).body.decode(), openmetrics=True)
    assert sys.float_info.max == LARGEST


@given(NUMBERS)
def test_accepted_number_is_a_plain_one(value: Any) -> None:
    """What is accepted is an ``int`` of 64 bits or a finite ``float``, and no subclass."""
    try:
        number = finite_number(value)
    except (TypeError, ValueError):
        return
    assert number is None or (type(number) is int and -(2**63) <= number < 2**63) or type(number) is float
