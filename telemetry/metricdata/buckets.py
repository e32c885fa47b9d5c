"""Exponential buckets of one series, at the price of one search for each measurement.

The bounds that measurements fall between are kept in one tuple, the *window*, so that ``bisect_left`` finds the bucket: a
logarithm would be inexact at the bounds, and a dictionary of indices costs more than twice as much. The window covers the
filled buckets and a few beside them. A measurement outside of it moves or widens it, and halves the resolution where the filled
buckets would span more than is allowed.

Bounds are the floats nearest to ``2**(k * 2**-scale)``, as in Prometheus
(https://github.com/prometheus/client_golang/blob/main/prometheus/histogram.go): a measurement that equals such a float is in
the bucket that ends with it. Measurements below the smallest normal float are counted as if they were that float
(https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponential-buckets).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from math import frexp, inf, ldexp
from sys import float_info
from typing import Any

from telemetry.metricdata.exponential import COARSEST, upper_bound
from telemetry.metricdata.stream import ExponentialState

__all__ = ["ExponentialBuckets", "bucket_index"]

_BLOCK = 16
"""The window ends at multiples of so many buckets: series of one metric share it, and it seldom changes."""


def bucket_index(value: float, scale: int) -> int:
    """Returns the index of the bucket that holds a positive number; infinity is in the last one."""
    mantissa, exponent = frexp(min(max(value, float_info.min), float_info.max))
    index = (exponent - 1 << max(scale, 0)) + bisect_left(_roots(max(scale, 0)), mantissa) - 1
    return index if scale >= 0 else index >> -scale


@lru_cache(maxsize=16)
def _roots(scale: int) -> tuple[float, ...]:
    """The bounds from 0.5 to 1, without 1: the mantissas of all bounds of the scale."""
    return tuple(upper_bound(k - 1, scale) / 2 for k in range(1 << scale))


def _bound(index: int, scale: int) -> float:
    """``upper_bound`` of normal floats, without its decimal arithmetic."""
    doublings, root = divmod(index + 1, 1 << scale) if scale >= 0 else (index + 1 << -scale, 0)
    return ldexp(_roots(max(scale, 0))[root], doublings + 1) if doublings < 1024 else inf


@lru_cache(maxsize=256)
def _window(scale: int, low: int, high: int, zero_threshold: float) -> tuple[int, bool, tuple[float, ...]]:
    """Returns the window around the buckets ``low`` to ``high``.

    Returns:
        The index of its first bucket, whether there are buckets between it and the zero bucket, and the window: the bound of
        the zero bucket, the lower bound of the first bucket where it is another one, and the upper bound of each bucket.
    """
    first = bucket_index(zero_threshold, scale)  # the first bucket that is not wholly below the threshold
    if _bound(first, scale) <= zero_threshold:
        first += 1
    low = max(low - low % _BLOCK, first)
    high = min(high - high % _BLOCK + _BLOCK - 1, bucket_index(inf, scale))
    bounds = [_bound(index, scale) for index in range(low, high + 1)]
    if low == first:
        return low, False, (zero_threshold, *bounds)
    return low, True, (zero_threshold, _bound(low - 1, scale), *bounds)


class ExponentialBuckets:
    """Counts measurements of one series. The caller serializes the calls.

    Attributes:
        window: Sorted bounds; ``cells[bisect_left(window, value)]`` counts ``value``.
        cells: The count of zeros, then those of the buckets; None stands for what lies outside the window.
        scale: The scale; it only falls.

    Args:
        max_scale: The scale of the first bucket, -4 to 8.
        max_size: How many buckets the filled ones may span; 128 at the coarsest scale.
        zero_threshold: Measurements up to it are zeros.
    """

    __slots__ = ("_first", "_max_size", "_offset", "cells", "scale", "window")

    def __init__(self, max_scale: int, max_size: int, zero_threshold: float) -> None:
        _roots(max(max_scale, 0))  # made here, and not at the first measurement
        self.scale = max_scale
        self.window: tuple[float, ...] = (zero_threshold,)
        self.cells: list[Any] = [0, None]
        self._max_size = max_size
        self._first = 0
        """Index of the window's first bucket."""
        self._offset = 2
        """Its place in ``cells``."""

    def place(self, value: float) -> int:
        """Returns the cell that counts a measurement, which is not negative. It is valid until the next call."""
        place = bisect_left(self.window, value)
        if self.cells[place] is None:
            self._move(bucket_index(value, self.scale))
            place = bisect_left(self.window, value)
        return place

    def add(self, value: float, count: int = 1) -> None:
        """Counts a measurement, or ``count`` equal ones."""
        place = self.place(value)
        self.cells[place] += count

    def add_state(self, other: ExponentialState) -> None:
        """Counts the measurements of another histogram without negative ones, at the coarser of the two scales.

        One zero threshold must be that of both.
        """
        if other.positive and other.scale < self.scale:
            first, counts = self._filled()
            change = self.scale - other.scale
            self.scale = other.scale
            self._lay_out(first >> change, first + len(counts) - 1 >> change, first, counts, change)
        self.cells[0] += other.zero_count
        for index, count in enumerate(other.positive, other.positive_offset):
            if count:
                self.add(_bound(index, other.scale), count)

    def state(self, total: float) -> ExponentialState:
        """Returns the buckets so far, with ``total`` as the sum of the measurements."""
        first, counts = self._filled()
        if len(counts) > self._max_size and self.scale > COARSEST:
            self._move(first)
            first, counts = self._filled()
        return ExponentialState(self.scale, total, self.cells[0], first, counts, 0, (), self.window[0], self._max_size)

    def _filled(self) -> tuple[int, Sequence[int]]:
        """Returns the index of the first filled bucket, and the counts from it to the last filled one."""
        cells = self.cells[self._offset : -1]
        filled = bytes(map(bool, cells))
        first = filled.find(1)
        return (0, ()) if first < 0 else (self._first + first, tuple(cells[first : filled.rfind(1) + 1]))

    def _move(self, index: int) -> None:
        """Moves the window over the filled buckets and bucket ``index``, at a coarser scale where that is needed."""
        first, counts = self._filled()
        low, high = (min(first, index), max(first + len(counts) - 1, index)) if counts else (index, index)
        change = 0
        while (high >> change) - (low >> change) >= self._max_size and self.scale > COARSEST:
            self.scale -= 1
            change += 1
        self._lay_out(low >> change, high >> change, first, counts, change)

    def _lay_out(self, low: int, high: int, first: int, counts: Sequence[int], change: int) -> None:
        """Makes the window over ``low`` to ``high``. The counts, from ``first`` on, are of a scale finer by ``change``."""
        zeros, threshold = self.cells[0], self.window[0]
        self._first, gap, self.window = _window(self.scale, low, high, threshold)
        self._offset = 2 if gap else 1
        self.cells = [zeros, *[None] * gap, *[0] * (len(self.window) - self._offset), None]
        for place, count in enumerate(counts, first):
            self.cells[(place >> change) - self._first + self._offset] += count
