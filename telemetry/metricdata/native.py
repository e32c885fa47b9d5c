"""Exponential histograms as Prometheus' native histograms.

Bucket ``i`` of OpenTelemetry is bucket ``i + 1`` of Prometheus, which numbers by upper bounds. A scale above 8 is brought down
to schema 8: one bucket is exactly ``2**n`` of the finer ones. Below -4 there is no schema.

https://prometheus.io/docs/specs/native_histograms/
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import frexp
from typing import NamedTuple

from telemetry.metricdata.exponential import COARSEST, upper_bound
from telemetry.metricdata.stream import ExponentialState

__all__ = ["MAX_SCHEMA", "MIN_SCHEMA", "NativeHistogram", "Spans", "native"]

MIN_SCHEMA, MAX_SCHEMA = COARSEST, 8
_MAX_GAP = 1
"""Empty buckets within a span: one costs less than a new span."""


class Spans(NamedTuple):
    """The buckets of one side, in rising distance from zero.

    Attributes:
        spans: Runs of consecutive buckets: how many buckets the run begins behind the end of the one before (the first: its
            bucket's index), and its length.
        counts: The count of each bucket of all runs.
    """

    spans: Sequence[tuple[int, int]]
    counts: Sequence[int]


class NativeHistogram(NamedTuple):
    """The buckets of a native histogram.

    Attributes:
        schema: Bucket ``i`` ends at ``2**(i * 2**-schema)``; -4 to 8.
        zero_threshold: The zero bucket counts values up to this distance from zero.
        zero_count: Its count.
        negative: Buckets of negative values.
        positive: Buckets of positive values.
    """

    schema: int
    zero_threshold: float
    zero_count: int
    negative: Spans
    positive: Spans

    @property
    def measurements(self) -> int:
        """The number of measurements."""
        return self.zero_count + sum(self.negative.counts) + sum(self.positive.counts)


def native(state: ExponentialState) -> NativeHistogram | None:
    """Returns the native form; None where the scale is below -4.

    Buckets that lie in the zero bucket are counted there. A bucket that it cuts is too: the zero threshold becomes that
    bucket's upper bound, so that each measurement is in one bucket.
    """
    if state.scale < MIN_SCHEMA:
        return None
    schema = min(state.scale, MAX_SCHEMA)
    shift = state.scale - schema
    positive = _buckets(state.positive_offset, state.positive, shift)
    negative = _buckets(state.negative_offset, state.negative, shift)
    threshold, zero_count = state.zero_threshold, state.zero_count
    within = _first_outside(threshold, schema)
    inside = [index for side in (positive, negative) for index in side if index < within]
    if inside:
        threshold = max(threshold, upper_bound(max(inside) - 1, schema))
        for side in (positive, negative):
            zero_count += sum(side.pop(index) for index in [each for each in side if each < within])
    return NativeHistogram(schema, threshold, zero_count, _spans(negative), _spans(positive))


def _buckets(offset: int, counts: Sequence[int], shift: int) -> dict[int, int]:
    """Returns the filled buckets by Prometheus' index, in rising order."""
    if not shift:
        return {index: count for index, count in enumerate(counts, offset + 1) if count}
    found: dict[int, int] = {}
    for index, count in enumerate(counts, offset):
        if count:
            coarser = (index >> shift) + 1
            found[coarser] = found.get(coarser, 0) + count
    return found


@lru_cache(maxsize=64)
def _first_outside(threshold: float, schema: int) -> int:
    """Returns the index of the first bucket whose lower bound is not below the threshold."""
    if threshold <= 0:
        return -(1 << 62)
    # The exponent is near the index; bounds decide.
    exponent = frexp(threshold)[1] - 1
    index = exponent << schema if schema >= 0 else exponent >> -schema
    while upper_bound(index - 1, schema) < threshold:
        index += 1
    return index + 1


def _spans(buckets: dict[int, int]) -> Spans:
    spans: list[tuple[int, int]] = []
    counts: list[int] = []
    before = begin = end = 0  # of the run before, and of this one
    for index, count in buckets.items():
        if index != end or not counts:
            gap = index - end
            if counts and gap <= _MAX_GAP:
                counts += [0] * gap
            else:
                if counts:
                    spans.append((begin - before, end - begin))
                before, begin = end, index
        counts.append(count)
        end = index + 1
    if counts:
        spans.append((begin - before, end - begin))
    return Spans(spans, counts)
