"""Transfers the numbers of one telemetry to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint

from telemetry._sdk.aggregation import add_buckets, add_exponential
from telemetry.instruments.bound import BoundHistogram, BoundInstrument
from telemetry.instruments.gauge import Gauge
from telemetry.instruments.instrument import Instrument
from telemetry.instruments.observable import Info, Observed

if TYPE_CHECKING:
    from telemetry.pipeline.telemetry import Telemetry

__all__ = ["transfer"]


def transfer(old: Telemetry, new: Telemetry) -> None:
    """Makes every bound instrument of ``old`` record into ``new``, then adds the numbers of ``old`` to those of ``new``.

    Metrics that ``new`` lacks are not transferred. A measurement that another thread makes meanwhile can be lost: transfer
    before the load starts.
    """
    targets = {instrument.metric.name.lower(): instrument for instrument in new.instruments}  # as the SDK names its data
    for instrument in old.instruments:
        target = targets.get(instrument.metric.name.lower())
        if target is None or target.metric != instrument.metric:
            continue
        if isinstance(instrument, Info) and isinstance(target, Info):
            if instrument.facts and not target.facts:
                target.info(instrument.facts)
            continue
        if not isinstance(instrument, Observed):
            instrument.retarget(target)
    for name, points in _points(old).items():
        if name in targets:
            for point in points:
                _add(targets[name], point)


def _points(telemetry: Telemetry) -> dict[str, Sequence[Any]]:
    data = telemetry.reader.state()
    if data is None:
        return {}
    metrics = (m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics)
    return {metric.name: metric.data.data_points for metric in metrics}


def _add(target: Instrument[Any], point: Any) -> None:
    if isinstance(target, Info | Observed | Gauge):
        return
    series: BoundInstrument = target.labels(**dict(point.attributes))
    if isinstance(point, NumberDataPoint):
        series.record_with_exemplar(point.value, None)
    elif isinstance(point, HistogramDataPoint) and isinstance(series, BoundHistogram):
        _add_histogram(series, point)
    elif isinstance(point, ExponentialHistogramDataPoint) and isinstance(series, BoundHistogram):
        for aggregation in series.aggregations() or ():
            add_exponential(aggregation, point)


def _add_histogram(series: BoundHistogram, point: HistogramDataPoint) -> None:
    aggregations = series.aggregations()
    if aggregations is not None:
        for aggregation in aggregations:
            add_buckets(aggregation, point.bucket_counts, point.sum, point.min, point.max)
        return
    for value in values_like(point):
        series.record_with_exemplar(value, None)


def values_like(point: HistogramDataPoint) -> list[float]:
    """Returns measurements with the same buckets and, but for rounding, the same sum, to record through the public API."""
    edges = [min(point.min, *point.explicit_bounds[:1]), *point.explicit_bounds, max(point.max, *point.explicit_bounds[-1:])]
    spans = [(edges[i], edges[i + 1], n) for i, n in enumerate(point.bucket_counts) if n]
    least = sum(low * n for low, _, n in spans)
    most = sum(high * n for _, high, n in spans)
    share = (point.sum - least) / (most - least) if most > least else 1.0
    return [high - (high - low) * (1.0 - share) for low, high, n in spans for _ in range(n)]
