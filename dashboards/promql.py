"""PromQL from catalogue entries. A name, label key, label value or bucket bound that the entry has not raises here."""

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
"""What a label must be: a value, one of several, or anything but one."""


@dataclass(frozen=True, slots=True)
class Query:
    """Queries about one job. ``variables`` (label key -> regular expression) narrow metrics with that open label.

    The expressions stand between backticks, where PromQL takes them as they are, whatever quotes a value has. Label keys are
    those of the catalogue; the queries have them as Prometheus writes them.
    """

    job: str
    variables: Mapping[str, str]

    def series(self, metric: Metric, part: str = "", **where: Value) -> str:
        """The selector of a metric's series; ``part`` is a histogram's ``bucket``, ``sum`` or ``count``."""
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
        """A gauge's level by label keys: of several series the sum, or the highest where the catalogue says so."""
        return _sum(metric, by, self.series(metric), "max" if metric.multiprocess_mode is MultiprocessMode.MAX else "sum")

    def count_at(self, metric: Metric, value: int) -> str:
        """How many series of a gauge are at this value."""
        return f"sum({self.series(metric)} == bool {value})"

    def highest(self, metric: Metric, window: str, *by: str) -> str:
        """The highest that a gauge was in the window, by label keys."""
        return _sum(metric, by, f"max_over_time({self.series(metric)}[{window}])", "max")

    def rate(self, metric: Metric, window: str, *by: str, part: str = "", **where: Value) -> str:
        """Events a second over the window, by label keys."""
        return _sum(metric, by, f"rate({self.series(metric, part, **where)}[{window}])")

    def increase(self, metric: Metric, window: str, *by: str, offset: str = "", part: str = "", **where: Value) -> str:
        """Events in the window, which ends ``offset`` ago, by label keys."""
        past = f" offset {offset}" if offset else ""
        return _sum(metric, by, f"increase({self.series(metric, part, **where)}[{window}]{past})")

    def quantile(self, q: float, metric: Metric, window: str, *by: str) -> str:
        """A quantile of a histogram, by label keys; no sample where nothing was observed."""
        buckets = _sum(metric, ("le", *by), f"rate({self.series(metric, 'bucket')}[{window}])")
        return only_numbers(f"histogram_quantile({q}, {buckets})")

    def mean(self, metric: Metric, window: str, *by: str) -> str:
        """The mean of a histogram, by label keys; no sample where nothing was observed."""
        total, count = (self.rate(metric, window, *by, part=part) for part in ("sum", "count"))
        return only_numbers(f"{total} / {count}")

    def at_or_below(self, metric: Metric, bound: float, window: str, *by: str) -> str:
        """Observations a second that were at most a bucket bound."""
        bucket = self.series(metric, "bucket")
        return _sum(metric, by, f"rate({bucket[:-1]}, {le(metric, bound)}}}[{window}])")


def only_numbers(expr: str) -> str:
    """Drops the NaN that comes of dividing by no traffic: a comparison with NaN is never true."""
    return f"{expr} >= 0"


def ratio(part: str, whole: str) -> str:
    """The share of ``part`` in ``whole``: 0 where no part was ever seen, no sample where ``whole`` is 0."""
    return only_numbers(f"({part} or 0 * {whole}) / {whole}")


def le(metric: Metric, bound: float) -> str:
    """A matcher of a bucket's upper bound, however its text is written: ``2.5`` and ``2.50``, ``1`` and ``1.0``."""
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
