"""PromQL from catalogue rows. A label key, label value or bucket bound that the row does not have raises an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from telemetry.metric import Kind, Label, Metric, MultiprocessMode

__all__ = ["Not", "Query", "Value", "le", "only_numbers", "ratio"]


@dataclass(frozen=True, slots=True)
class Not:
    """Every value except this one."""

    value: str


Value: TypeAlias = str | tuple[str, ...] | Not
"""The condition on a label: equal to a value, one of several values, or any value except one."""


@dataclass(frozen=True, slots=True)
class Query:
    """Builds queries about one job.

    Label keys in the arguments are the catalogue's; the queries have them as Prometheus writes them.

    Args:
        job: The scrape job.
        variables: Label key -> regular expression; it narrows every metric that has this open label. The query has the
            expression between backticks, where PromQL takes any quotes in a value as they are.
    """

    job: str
    variables: Mapping[str, str]

    def series(self, metric: Metric, part: str = "", **where: Value) -> str:
        """Returns the selector of a metric's series.

        Args:
            metric: The row of the catalogue.
            part: ``bucket``, ``sum`` or ``count`` of a histogram; empty for every other kind.
            where: Conditions by label key.

        Raises:
            KeyError: If the metric has no such label.
            ValueError: If a histogram comes without a part, another metric with one, or a value is outside its label.
        """
        if (metric.kind is Kind.HISTOGRAM) != bool(part):
            raise ValueError(f"{metric.name} is a {metric.kind.value}: it has {'no part' if part else 'parts only'}")
        matchers = [f'job="{self.job}"', *self._narrowed(metric, where)]
        matchers += [_matcher(metric.label(key), value) for key, value in where.items()]
        return f"{metric.prometheus_name}{'_' + part if part else ''}{{{', '.join(matchers)}}}"

    def _narrowed(self, metric: Metric, where: Mapping[str, Value]) -> list[str]:
        return [
            f"{label.prometheus_key}=~`{self.variables[label.key]}`"
            for label in metric.labels
            if label.is_open and label.key in self.variables and label.key not in where
        ]

    def level(self, metric: Metric, *by: str) -> str:
        """Returns a gauge's level by label keys: the sum of the series, or their maximum where the catalogue says so."""
        return _sum(metric, by, self.series(metric), "max" if metric.multiprocess_mode is MultiprocessMode.MAX else "sum")

    def count_at(self, metric: Metric, value: int) -> str:
        """Returns the number of a gauge's series that have this value."""
        return f"sum({self.series(metric)} == bool {value})"

    def highest(self, metric: Metric, window: str, *by: str) -> str:
        """Returns a gauge's maximum over the window, by label keys."""
        return _sum(metric, by, f"max_over_time({self.series(metric)}[{window}])", "max")

    def rate(self, metric: Metric, window: str, *by: str, part: str = "", **where: Value) -> str:
        """Returns events per second over the window, by label keys."""
        return _sum(metric, by, f"rate({self.series(metric, part, **where)}[{window}])")

    def increase(self, metric: Metric, window: str, *by: str, offset: str = "", part: str = "", **where: Value) -> str:
        """Returns the number of events in the window, which ends ``offset`` ago, by label keys."""
        past = f" offset {offset}" if offset else ""
        return _sum(metric, by, f"increase({self.series(metric, part, **where)}[{window}]{past})")

    def quantile(self, q: float, metric: Metric, window: str, *by: str) -> str:
        """Returns a quantile of a histogram, by label keys; no sample where nothing was observed."""
        buckets = _sum(metric, ("le", *by), f"rate({self.series(metric, 'bucket')}[{window}])")
        return only_numbers(f"histogram_quantile({q}, {buckets})")

    def mean(self, metric: Metric, window: str, *by: str) -> str:
        """Returns the mean of a histogram, by label keys; no sample where nothing was observed."""
        total, count = (self.rate(metric, window, *by, part=part) for part in ("sum", "count"))
        return only_numbers(f"{total} / {count}")

    def at_or_below(self, metric: Metric, bound: float, window: str, *by: str) -> str:
        """Returns observations per second of at most ``bound``, by label keys.

        Raises:
            ValueError: If ``bound`` is not a bucket bound of the metric.
        """
        bucket = self.series(metric, "bucket")
        return _sum(metric, by, f"rate({bucket[:-1]}, {le(metric, bound)}}}[{window}])")


def only_numbers(expr: str) -> str:
    """Drops the NaN of a division by zero traffic: a comparison with NaN is never true."""
    return f"{expr} >= 0"


def ratio(part: str, whole: str) -> str:
    """Returns the share of ``part`` in ``whole``: 0 where ``part`` has no series, no sample where ``whole`` is 0."""
    return only_numbers(f"({part} or 0 * {whole}) / {whole}")


def le(metric: Metric, bound: float) -> str:
    """Returns a matcher of a bucket's upper bound that fits every spelling: ``2.5`` and ``2.50``, ``1`` and ``1.0``.

    Raises:
        ValueError: If ``bound`` is not a bucket bound of the metric.
    """
    if bound not in metric.bounds:
        raise ValueError(f"{metric.name} has no bucket bound {bound:g}, it has {', '.join(f'{b:g}' for b in metric.bounds)}")
    whole, _, fraction = f"{bound:g}".partition(".")
    return f'le=~"{whole}[.]{fraction}0*"' if fraction else f'le=~"{whole}([.]0*)?"'


def _sum(metric: Metric, by: Sequence[str], expr: str, function: str = "sum") -> str:
    keys = [key if key in ("job", "le") else metric.label(key).prometheus_key for key in by]
    return f"{function} by ({', '.join(keys)}) ({expr})" if keys else f"{function}({expr})"


def _matcher(label: Label, value: Value) -> str:
    match value:
        case tuple():
            return f'{label.prometheus_key}=~"{"|".join(_known(label, v) for v in value)}"'
        case Not():
            return f'{label.prometheus_key}!="{_known(label, value.value)}"'
        case str():
            return f'{label.prometheus_key}="{_known(label, value)}"'


def _known(label: Label, value: str) -> str:
    if label.is_open or value not in label.values:
        raise ValueError(f"{label.key} is never {value!r}; it is one of {', '.join(label.values) or 'an open set'}")
    return value
