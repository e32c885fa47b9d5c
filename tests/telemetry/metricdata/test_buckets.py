"""Exponential buckets: the bounds, the resolution and the limit on their number."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from math import inf, nextafter
from sys import float_info

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.metricdata.buckets import ExponentialBuckets, bucket_index
from telemetry.metricdata.exponential import upper_bound
from telemetry.metricdata.stream import ExponentialState

EXACT = Context(prec=80)
SCALES = st.integers(-4, 8)
POSITIVE = st.floats(min_value=float_info.min, max_value=float_info.max)
NUMBERS = st.floats(min_value=0, max_value=float_info.max)


def bound(index: int, scale: int) -> float:
    """The float nearest to ``2**((index+1) * 2**-scale)``, by decimal arithmetic."""
    exponent = EXACT.divide(Decimal(index + 1), EXACT.power(Decimal(2), Decimal(scale)))
    exact = EXACT.power(Decimal(2), exponent)
    return float(exact) if exact < Decimal(2) ** 1024 else inf


def filled(
    values: Sequence[float], max_scale: int = 8, max_size: int = 160, zero_threshold: float = 1e-128
) -> ExponentialBuckets:
    """Buckets that have counted these values."""
    buckets = ExponentialBuckets(max_scale, max_size, zero_threshold)
    for value in values:
        buckets.add(value)
    return buckets


def expected(values: Sequence[float], max_scale: int, max_size: int, zero_threshold: float) -> ExponentialState:
    """What the buckets must be: the finest scale at which all values fit, each counted where it belongs."""
    numbers = [value for value in values if value > zero_threshold]
    scale = max_scale
    while numbers and scale > -4 and bucket_index(max(numbers), scale) - bucket_index(min(numbers), scale) >= max_size:
        scale -= 1
    indices = [bucket_index(value, scale) for value in numbers]
    counts = tuple(indices.count(index) for index in range(min(indices), max(indices) + 1)) if indices else ()
    zeros = len(values) - len(numbers)
    return ExponentialState(scale, 0.0, zeros, min(indices, default=0), counts, 0, (), zero_threshold, max_size)


@given(POSITIVE, SCALES)
def test_bucket_holds_the_values_up_to_its_bound(value: float, scale: int) -> None:
    """A value lies above the lower bound of its bucket and not above the upper one, by decimal arithmetic."""
    index = bucket_index(value, scale)
    assert bound(index - 1, scale) < value or value == float_info.min
    assert value <= bound(index, scale)


@given(st.integers(-1022 * 256, 1023 * 256), SCALES)
def test_bound_belongs_to_the_bucket_that_ends_with_it(index: int, scale: int) -> None:
    """The float of a bound is in its own bucket, the next float is in the next one."""
    index = index >> 8 - scale if scale < 8 else index
    index = max(index, bucket_index(float_info.min, scale) + 1)
    edge = bound(index, scale)
    if edge < float_info.max:
        assert bucket_index(edge, scale) == index
        assert bucket_index(nextafter(edge, inf), scale) == index + 1


@pytest.mark.parametrize(
    ("value", "scale", "index"),
    [
        (1.0, 3, -1),
        (nextafter(1.0, 2), 3, 0),
        (2.0, 3, 7),
        (0.5, 0, -2),
        (3.0, 0, 1),
        (3.0, -4, 0),
        (65536.0, -4, 0),
        (65537.0, -4, 1),
        (float_info.max, 8, 1024 * 256 - 1),
        (inf, 8, 1024 * 256 - 1),
        (float_info.min, 0, -1023),
        (5e-324, 0, -1023),
        (5e-324, 3, -1022 * 8 - 1),
        (5e-324, -4, -64),
    ],
)
def test_index_at_the_edges_of_floats(value: float, scale: int, index: int) -> None:
    """Powers of two end their buckets; subnormal numbers count as the smallest normal one, infinity as the largest."""
    assert bucket_index(value, scale) == index


@given(
    st.lists(NUMBERS | st.floats(1e-4, 1e4), max_size=60),
    SCALES,
    st.sampled_from([2, 3, 20, 160, 1000]),
    st.sampled_from([0.0, 5e-324, 1e-128, 0.001, 1.0, 3.7]),
)
def test_buckets_follow_from_the_values_alone(values: list[float], scale: int, size: int, threshold: float) -> None:
    """Scale and counts are those of the finest scale at which all values fit, in whatever order they come."""
    assert filled(values, scale, size, threshold).state(0.0) == expected(values, scale, size, threshold)
    assert filled(values[::-1], scale, size, threshold).state(0.0) == expected(values, scale, size, threshold)


@given(st.lists(NUMBERS, max_size=30), st.integers(1, 5))
def test_reading_changes_nothing(values: list[float], every: int) -> None:
    """Buckets that are read between measurements end as those that are read once."""
    buckets = ExponentialBuckets(8, 160, 1e-128)
    for number, value in enumerate(values):
        buckets.add(value)
        if number % every == 0:
            buckets.state(0.0)
    assert buckets.state(0.0) == filled(values).state(0.0)


def test_resolution_is_halved_when_the_buckets_are_full() -> None:
    """160 buckets of scale 3 reach over 20 doublings; one value more halves the resolution."""
    assert filled([1.01, 2.0**20], max_scale=3).state(0.0).scale == 3
    wider = filled([1.01, 2.0**20 + 1], max_scale=3).state(0.0)
    assert (wider.scale, wider.positive_offset, len(wider.positive), sum(wider.positive)) == (2, 0, 81, 2)


@given(st.lists(NUMBERS, min_size=1, max_size=50), st.sampled_from([2, 160]))
def test_memory_is_bounded(values: list[float], size: int) -> None:
    """However far apart the values are, the cells are at most the allowed ones, a block at either end and four more."""
    assert len(filled(values, max_size=size).cells) <= max(size, 128) + 2 * 16 + 4


def test_threshold_itself_is_zero() -> None:
    """Zeros of both signs and values up to the threshold are counted as zero; the next float is not."""
    state = filled([0.0, -0.0, 0.001, nextafter(0.001, 1)], zero_threshold=0.001).state(4.0)
    assert (state.zero_count, sum(state.positive), state.zero_threshold, state.sum) == (3, 1, 0.001, 4.0)


def test_several_equal_measurements_are_counted_at_once() -> None:
    """``count`` measurements are what ``count`` calls are."""
    buckets = ExponentialBuckets(3, 160, 1e-128)
    buckets.add(0.3, 5)
    buckets.add(0.0, 2)
    assert buckets.state(1.5) == filled([0.3] * 5 + [0.0] * 2, 3).state(1.5)


@given(SCALES, st.integers(-1000, 1000))
def test_bounds_are_those_that_are_shown(scale: int, index: int) -> None:
    """The bound that ``le`` shows counts exactly the values of the buckets up to it."""
    edge = upper_bound(index, scale)
    if float_info.min < edge < inf:
        assert bucket_index(edge, scale) == index
