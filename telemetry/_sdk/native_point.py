"""Points of native histograms, in the SDK's data model.

A dataclass of seventeen fields takes longer to define than most modules to load: this one loads with the first histogram that
has native buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics.export import Buckets, ExponentialHistogramDataPoint

from telemetry.metricdata.stream import MAX_SIZE, ZERO_THRESHOLD, ExponentialState

__all__ = ["NativePoint", "native_point"]


@dataclass(frozen=True)
class NativePoint(ExponentialHistogramDataPoint):
    """A point of the SDK that also says up to where its zero bucket reaches, and how many others there may be."""

    zero_threshold: float = ZERO_THRESHOLD
    max_size: int = MAX_SIZE


def native_point(
    state: ExponentialState, about: tuple[Any, int, int, int], extremes: tuple[float, float], exemplars: Sequence[Any]
) -> NativePoint:
    """Returns the point of a state.

    Args:
        state: The buckets and the sum.
        about: Attributes, start and time in Unix nanoseconds, count.
        extremes: The least and the largest measurement.
        exemplars: The exemplars, as the SDK collects them.
    """
    attributes, start, time, count = about
    return NativePoint(
        attributes=attributes,
        start_time_unix_nano=start,
        time_unix_nano=time,
        count=count,
        sum=state.sum,
        scale=state.scale,
        zero_count=state.zero_count,
        positive=Buckets(state.positive_offset, state.positive),
        negative=Buckets(0, ()),
        flags=0,
        min=extremes[0],
        max=extremes[1],
        exemplars=exemplars,
        zero_threshold=state.zero_threshold,
        max_size=state.max_size,
    )
