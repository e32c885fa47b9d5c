"""Exponential histograms as explicit buckets, the only ones that the text formats have.

Bucket ``i`` of scale ``s`` ends at ``2**((i+1) * 2**-s)``. The bound is the float nearest to that real number. A negative
bucket excludes its upper end, while ``le`` includes it: a value exactly on a negative bound is counted one bucket further up.
Bounds change when the SDK rescales; sum, count and ``+Inf`` do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from functools import lru_cache
from math import inf

from telemetry.metricdata.stream import ExponentialState

__all__ = ["add_exponential", "explicit", "upper_bound"]

_EXACT = Context(prec=60)


@lru_cache(maxsize=8192)
def upper_bound(index: int, scale: int) -> float:
    """Returns ``2**((index+1) * 2**-scale)``, correctly rounded; infinity where it is larger than every float."""
    exponent = index + 1
    if scale <= 0:
        whole, root = exponent << -scale, Decimal(1)
    else:
        whole, part = exponent >> scale, exponent & ((1 << scale) - 1)
        root = Decimal(1)
        factor = Decimal(2)
        for bit in range(scale - 1, -1, -1):
            factor = _EXACT.sqrt(factor)
            if part >> bit & 1:
                root = _EXACT.multiply(root, factor)
    if whole > 1024:
        return inf
    if whole < -1100:
        return 0.0
    return float(_EXACT.multiply(root, _EXACT.power(Decimal(2), whole)))


def explicit(state: ExponentialState) -> tuple[list[float], list[int]]:
    """Returns the upper bounds (without infinity) and the counts of the buckets, one more than there are bounds."""
    bounds: list[float] = []
    counts: list[int] = []
    pending = 0
    for bound, count in _buckets(state):
        pending += count
        if bound == inf or (bounds and bound <= bounds[-1]):
            # Two bounds are the same float: their counts belong to the same bucket.
            if bound != inf:
                counts[-1] += pending
                pending = 0
            continue
        bounds.append(bound)
        counts.append(pending)
        pending = 0
    return bounds, [*counts, pending]


def add_exponential(first: ExponentialState, second: ExponentialState) -> ExponentialState:
    """Returns the sum of two histograms at the coarser of their scales: one bucket is exactly two of the next finer scale.

    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
    """
    scale = min(first.scale, second.scale)
    return ExponentialState(
        scale,
        first.sum + second.sum,
        first.zero_count + second.zero_count,
        *_added(scale, *((s.scale, s.positive_offset, s.positive) for s in (first, second))),
        *_added(scale, *((s.scale, s.negative_offset, s.negative) for s in (first, second))),
    )


def _added(scale: int, *sides: tuple[int, int, Sequence[int]]) -> tuple[int, Sequence[int]]:
    """Returns offset and counts, at ``scale``, of the sum of these (scale, offset, counts)."""
    counts: dict[int, int] = {}
    for finer, offset, side in sides:
        for i, count in enumerate(side):
            if count:
                index = (offset + i) >> (finer - scale)
                counts[index] = counts.get(index, 0) + count
    if not counts:
        return 0, ()
    first = min(counts)
    return first, tuple(counts.get(index, 0) for index in range(first, max(counts) + 1))


def _buckets(state: ExponentialState) -> Iterator[tuple[float, int]]:
    """Yields upper bound and count of each bucket, in rising order."""
    first, negative = _trim(state.negative_offset, state.negative)
    for i in range(len(negative) - 1, -1, -1):
        yield -upper_bound(first + i - 1, state.scale) or 0.0, negative[i]
    first, positive = _trim(state.positive_offset, state.positive)
    if state.zero_count or negative or not positive:
        yield 0.0, state.zero_count
    if positive:
        yield upper_bound(first - 1, state.scale), 0
        for i, count in enumerate(positive):
            yield upper_bound(first + i, state.scale), count


def _trim(offset: int, counts: Sequence[int]) -> tuple[int, Sequence[int]]:
    """Drops the empty buckets at either end."""
    filled = [i for i, count in enumerate(counts) if count]
    if not filled:
        return offset, ()
    return offset + filled[0], counts[filled[0] : filled[-1] + 1]
