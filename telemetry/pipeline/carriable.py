"""Numbers of other libraries' instruments, made such that OTLP can carry them.

The instruments of a catalogue refuse what cannot be exported. Those that a host or a library makes of the same provider do not,
and one number of theirs would fail the encoding of everything else at each export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData

from telemetry.instruments.number import INT64, finite_number

__all__ = ["carriable"]


def carriable(data: MetricsData, left_out: Callable[[str], None]) -> MetricsData:
    """Returns the data with each number as an integer of 64 bits or a double; points without one are left out.

    Args:
        data: What a reader collected; it is returned as it is where every number can be carried.
        left_out: Called with the name of each metric of which points were left out.
    """
    points = (point for metric in _metrics(data) for point in metric.data.data_points)
    if all(_is_plain(number) for point in points for number in _numbers(point)):
        return data
    resources = []
    for resource in data.resource_metrics:
        scopes = [replace(scope, metrics=[_mended(m, left_out) for m in scope.metrics]) for scope in resource.scope_metrics]
        resources.append(replace(resource, scope_metrics=scopes))
    return replace(data, resource_metrics=resources)


def _metrics(data: MetricsData) -> Iterator[Any]:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


def _numbers(point: Any) -> Sequence[Any]:
    own = (point.value,) if hasattr(point, "value") else (point.sum, point.min, point.max)
    return (*own, *(exemplar.value for exemplar in point.exemplars)) if point.exemplars else own


def _is_plain(number: Any) -> bool:
    kind = type(number)
    return kind is float or number is None or (kind is int and -INT64 <= number < INT64)


def _mended(metric: Any, left_out: Callable[[str], None]) -> Any:
    points = []
    for point in metric.data.data_points:
        try:
            points.append(point if all(map(_is_plain, _numbers(point))) else _mended_point(point))
        except Exception:  # of the number's own conversion
            left_out(metric.name)
    return replace(metric, data=replace(metric.data, data_points=points))


def _mended_point(point: Any) -> Any:
    exemplars = [each for each in point.exemplars if _is_plain(each.value)]
    if hasattr(point, "value"):
        return replace(point, value=_plain(point.value), exemplars=exemplars)
    return replace(point, sum=_plain(point.sum), min=_plain(point.min), max=_plain(point.max), exemplars=exemplars)


def _plain(number: Any) -> float | None:
    """Returns the number as OTLP carries it: integers of more than 64 bits as doubles. Raises where there is none."""
    if _is_plain(number):
        return number  # type: ignore[no-any-return]  # checked by its type
    found = finite_number(number)
    return float(number) if found is None else found
