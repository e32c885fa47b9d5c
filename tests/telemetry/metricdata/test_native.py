"""Exponential histograms in Prometheus' native form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.metricdata.exponential import upper_bound
from telemetry.metricdata.native import NativeHistogram, Spans, native
from telemetry.metricdata.stream import ExponentialState

NOTHING = Spans([], [])


def state(
    scale: int = 0, offset: int = 0, positive: tuple[int, ...] = (), *, zeros: int = 0, threshold: float = 1e-128
) -> ExponentialState:
    return ExponentialState(scale, 0.0, zeros, offset, positive, 0, (), threshold)


def test_indices_are_those_of_the_upper_bounds() -> None:
    """OpenTelemetry's bucket (1, 2] of scale 0 has index 0, Prometheus' has index 1."""
    assert native(state(0, 0, (3,))) == NativeHistogram(0, 1e-128, 0, NOTHING, Spans([(1, 1)], [3]))


def test_negative_buckets() -> None:
    """Negative buckets have the indices of their absolute values."""
    made = native(ExponentialState(0, 0.0, 0, 0, (), -3, (1, 2)))
    assert made == NativeHistogram(0, 1e-128, 0, Spans([(-2, 2)], [1, 2]), NOTHING)


def test_no_buckets() -> None:
    """A histogram without measurements has no spans."""
    assert native(state(3)) == NativeHistogram(3, 1e-128, 0, NOTHING, NOTHING)


def test_one_empty_bucket_stays_in_its_span() -> None:
    """One empty bucket between two filled ones is written, two begin a new span."""
    made = native(state(2, 4, (0, 1, 0, 2, 0, 0, 3, 0)))
    assert made is not None
    assert made.positive == Spans([(6, 3), (2, 1)], [1, 0, 2, 3])


def test_finer_scales_become_schema_8() -> None:
    """Two neighbours of scale 9 are one bucket of schema 8, on both sides of index 0."""
    made = native(state(9, -2, (1, 2, 4, 8)))
    assert made == NativeHistogram(8, 1e-128, 0, NOTHING, Spans([(0, 2)], [3, 12]))


@pytest.mark.parametrize(("scale", "has"), [(-4, True), (-5, False)])
def test_coarsest_schema(scale: int, has: bool) -> None:
    """Schema -4 is the coarsest; a coarser scale has no native form."""
    assert (native(state(scale, 0, (1,))) is not None) is has


def test_buckets_below_the_zero_threshold() -> None:
    """A bucket that ends at the threshold is counted in the zero bucket; one that begins there is not."""
    made = native(state(0, -2, (1, 2, 4), zeros=8, threshold=0.5))
    assert made == NativeHistogram(0, 0.5, 9, NOTHING, Spans([(0, 2)], [2, 4]))


def test_a_bucket_that_the_zero_threshold_cuts() -> None:
    """The zero bucket grows to the end of a bucket that it cuts."""
    made = native(state(0, -1, (1, 2), threshold=0.75))
    assert made == NativeHistogram(0, 1.0, 1, NOTHING, Spans([(1, 1)], [2]))


def test_no_zero_threshold() -> None:
    """With threshold 0 no bucket is counted as zero."""
    made = native(state(0, -1074, (1,), zeros=2, threshold=0.0))
    assert made == NativeHistogram(0, 0.0, 2, NOTHING, Spans([(-1073, 1)], [1]))


@given(
    st.integers(-4, 20),
    st.integers(-400, 400),
    st.lists(st.integers(0, 3), max_size=160),
    st.sampled_from([0.0, 1e-128, 2.0**-20, 0.001, 1.0, 3.0]),
)
def test_each_measurement_is_in_one_bucket(scale: int, offset: int, counts: list[int], threshold: float) -> None:
    """No measurement is lost, no run touches the next one, and no filled bucket begins below the zero threshold."""
    made = native(state(scale, offset, tuple(counts), zeros=1, threshold=threshold))
    assert made is not None
    assert made.measurements == 1 + sum(counts)
    assert sum(length for _, length in made.positive.spans) == len(made.positive.counts)
    assert all(gap > 1 for gap, _ in made.positive.spans[1:])
    if made.positive.spans:
        assert upper_bound(made.positive.spans[0][0] - 2, made.schema) >= made.zero_threshold
