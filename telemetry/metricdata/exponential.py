"""Exponential histograms as explicit buckets, the only ones that the text formats have.

Bucket ``i`` of scale ``s`` ends at ``2**((i+1) * 2**-s)``. The bound is the float nearest to that real number. A negative
bucket excludes its upper end, while ``le`` includes it: a value exactly on a negative bound is counted one bucket further up.
Bounds change when the SDK rescales; sum, count and ``+Inf`` do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from math import frexp, inf
from operator import add

from telemetry.metricdata.stream import ZERO_THRESHOLD, ExponentialState

__all__ = ["COARSEST", "add_exponentials", "explicit", "upper_bound"]

COARSEST = -4
"""Prometheus' coarsest schema: 128 buckets hold every float."""


@lru_cache(maxsize=8192)
def upper_bound(index: int, scale: int) -> float:
    """Returns ``2**((index+1) * 2**-scale)``, correctly rounded; infinity where it is larger than every float."""
    from decimal import Context, Decimal  # here, because most processes have no exponential histogram

    exact = Context(prec=60)
    exponent = index + 1
    if scale <= 0:
        whole, root = exponent << -scale, Decimal(1)
    else:
        whole, part = exponent >> scale, exponent & ((1 << scale) - 1)
        root = Decimal(1)
        factor = Decimal(2)
        for bit in range(scale - 1, -1, -1):
            factor = exact.sqrt(factor)
            if part >> bit & 1:
                root = exact.multiply(root, factor)
    if whole > 1024:
        return inf
    if whole < -1100:
        return 0.0
    return float(exact.multiply(root, exact.power(Decimal(2), whole)))


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


def add_exponentials(states: Sequence[ExponentialState]) -> ExponentialState:
    """Returns the sum of histograms at the coarsest of their scales: one bucket is exactly two of the next finer scale.

    It is coarser where the sum would span more buckets than the histograms may and do: it is what one histogram of all
    measurements would be. The largest zero threshold is that of the sum; buckets below it are counted as zero. Where it cuts a
    filled bucket of a histogram with a lower one, it becomes that bucket's upper bound.

    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram

    Args:
        states: At least one histogram.
    """
    if len(states) == 1:
        return states[0]
    states = _with_one_threshold(states)
    # A histogram without buckets has no resolution that another one could lose.
    scale = min([s.scale for s in states if s.positive or s.negative] or [s.scale for s in states])
    positive = [_trim(*_coarser(s.positive_offset, s.positive, s.scale - scale)) for s in states]
    negative = [_trim(*_coarser(s.negative_offset, s.negative, s.scale - scale)) for s in states]
    size = max(*(state.max_size for state in states), *(len(counts) for _, counts in (*positive, *negative)))
    sums = _added(positive), _added(negative)
    while scale > COARSEST and any(len(counts) > size for _, counts in sums):
        scale -= 1
        sums = _coarser(*sums[0], 1), _coarser(*sums[1], 1)
    zeros, total = sum(state.zero_count for state in states), sum(state.sum for state in states)
    return ExponentialState(
        scale, total, zeros, *sums[0], *sums[1], states[0].zero_threshold, max(state.max_size for state in states)
    )


def _with_one_threshold(states: Sequence[ExponentialState]) -> Sequence[ExponentialState]:
    """Gives all histograms the largest zero threshold, moved up to the end of each filled bucket that it cuts."""
    threshold = max(state.zero_threshold for state in states)
    if all(state.zero_threshold == threshold for state in states):
        return states
    before = -1.0
    while before != threshold:
        before = threshold
        for state in states:
            if state.zero_threshold < threshold:
                threshold = _uncut(state, threshold)
    return [_zeroed(state, threshold) for state in states]


def _uncut(state: ExponentialState, threshold: float) -> float:
    """Returns the threshold, or the upper bound of the filled bucket that it cuts."""
    first = _first_above(threshold, state.scale)
    if upper_bound(first - 1, state.scale) < threshold:
        for offset, counts in ((state.positive_offset, state.positive), (state.negative_offset, state.negative)):
            if 0 <= first - offset < len(counts) and counts[first - offset]:
                return upper_bound(first, state.scale)
    return threshold


def _zeroed(state: ExponentialState, threshold: float) -> ExponentialState:
    """Counts the buckets that end at or below the threshold as zero."""
    if state.zero_threshold == threshold:
        return state
    first = _first_above(threshold, state.scale)
    zeros = state.zero_count
    sides = []
    for offset, counts in ((state.positive_offset, state.positive), (state.negative_offset, state.negative)):
        below = min(max(first - offset, 0), len(counts))
        zeros += sum(counts[:below])
        sides.append((offset + below, counts[below:]))
    return ExponentialState(state.scale, state.sum, zeros, *sides[0], *sides[1], threshold, state.max_size)


@lru_cache(maxsize=64)
def _first_above(threshold: float, scale: int) -> int:
    """Returns the index of the first bucket that ends above the threshold, which is positive."""
    exponent = frexp(threshold)[1] - 2
    index = exponent << scale if scale >= 0 else exponent >> -scale
    while upper_bound(index, scale) <= threshold:
        index += 1
    return index


def _coarser(offset: int, counts: Sequence[int], change: int) -> tuple[int, Sequence[int]]:
    """Returns the counts at a scale that is lower by ``change``."""
    if not change or not counts:
        return offset, counts
    first = offset >> change
    found = [0] * ((offset + len(counts) - 1 >> change) - first + 1)
    for index, count in enumerate(counts, offset):
        found[(index >> change) - first] += count
    return first, found


def _added(sides: Iterable[tuple[int, Sequence[int]]]) -> tuple[int, Sequence[int]]:
    """Returns offset and counts of the sum of these (offset, counts)."""
    filled = [(offset, counts) for offset, counts in sides if counts]
    if not filled:
        return 0, ()
    first = min(offset for offset, _ in filled)
    found = [0] * (max(offset + len(counts) for offset, counts in filled) - first)
    for offset, counts in filled:
        place = slice(offset - first, offset - first + len(counts))
        found[place] = map(add, found[place], counts)
    return first, found


def _buckets(state: ExponentialState) -> Iterator[tuple[float, int]]:
    """Yields upper bound and count of each bucket, in rising order."""
    first, negative = _trim(state.negative_offset, state.negative)
    for i in range(len(negative) - 1, -1, -1):
        yield -upper_bound(first + i - 1, state.scale) or 0.0, negative[i]
    first, positive = _trim(state.positive_offset, state.positive)
    if state.zero_count or negative or not positive:
        # The usual threshold is as good as 0, and the SDK's zeros are exactly that.
        yield state.zero_threshold if state.zero_threshold > ZERO_THRESHOLD else 0.0, state.zero_count
    if positive:
        yield upper_bound(first - 1, state.scale), 0
        for i, count in enumerate(positive):
            yield upper_bound(first + i, state.scale), count


def _trim(offset: int, counts: Sequence[int]) -> tuple[int, Sequence[int]]:
    """Drops the empty buckets at either end."""
    if counts and counts[0] and counts[-1]:
        return offset, counts
    filled = bytes(map(bool, counts))
    first = filled.find(1)
    return (offset, ()) if first < 0 else (offset + first, counts[first : filled.rfind(1) + 1])
