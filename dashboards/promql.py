"""PromQL from catalogue rows. A label key, label value or bucket bound that the row does not have raises an error.

Prometheus stores a histogram in its classic form (``x_bucket``, ``x_sum``, ``x_count``), in its native form (``x``, with
exponential or custom buckets), or in both. Each query about a histogram reads what it finds, and the series of a group may
differ in form. A selector without series costs a look-up in the index. https://prometheus.io/docs/specs/native_histograms/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from telemetry.metric import Kind, Label, Metric, MultiprocessMode

__all__ = ["Not", "Query", "Value", "aggregation", "le", "only_numbers", "ratio"]

_INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Not:
    """Every value except this one, or except these. The empty value stands for a missing label."""

    value: str | tuple[str, ...]


Value: TypeAlias = str | tuple[str, ...] | Not
"""The condition on a label: equal to a value, one of several values, or any value except one."""


@dataclass(frozen=True, slots=True)
class Query:
    """Builds queries about one job.

    Label keys in the arguments are the catalogue's; the queries have them as Prometheus writes them.

    Args:
        job: The scrape job.
        variables: Label key -> regular expression; it narrows every metric that has this open label, and every metric if the
            key is ``instance``, which Prometheus adds to each. The query has the expression between backticks, where PromQL
            takes any quotes in a value as they are.
    """

    job: str
    variables: Mapping[str, str]

    def series(self, metric: Metric, part: str = "", **where: Value) -> str:
        """Returns the selector of a metric's series.

        Args:
            metric: The row of the catalogue.
            part: ``bucket``, ``sum`` or ``count`` of a histogram's classic form, or ``native``; empty for every other kind.
            where: Conditions by label key.

        Raises:
            KeyError: If the metric has no such label.
            ValueError: If a histogram comes without a part, another metric with one, or a value is outside its label.
        """
        if (metric.kind is Kind.HISTOGRAM) != bool(part):
            raise ValueError(f"{metric.name} is a {metric.kind.value}: it has {'no part' if part else 'parts only'}")
        matchers = [f'job="{self.job}"', *self._narrowed(metric, where)]
        matchers += [_matcher(metric.label(key), value) for key, value in where.items()]
        suffix = f"_{part}" if part not in ("", "native") else ""
        return f"{metric.prometheus_name}{suffix}{{{', '.join(matchers)}}}"

    def _narrowed(self, metric: Metric, where: Mapping[str, Value]) -> list[str]:
        scraped = [f"{key}=~`{self.variables[key]}`" for key in (_INSTANCE,) if key in self.variables]
        return scraped + [
            f"{label.prometheus_key}=~`{self.variables[label.key]}`"
            for label in metric.labels
            if label.is_open and label.key in self.variables and label.key not in where
        ]

    def level(self, metric: Metric, *by: str) -> str:
        """Returns a gauge's level by label keys: the sum of the series, or their maximum or minimum by the catalogue."""
        return _sum(metric, by, self.series(metric), aggregation(metric))

    def count_at(self, metric: Metric, value: int) -> str:
        """Returns the number of a gauge's series that have this value."""
        return f"sum({self.series(metric)} == bool {value})"

    def top(self, metric: Metric, *by: str, **where: Value) -> str:
        """Returns the highest value of a gauge's series now, by label keys."""
        return _sum(metric, by, self.series(metric, "", **where), "max")

    def moved(self, metric: Metric, *by: str, **where: Value) -> str:
        """Returns the label sets that had events in the time range of a panel. It has one value for the whole range.

        A series that first appears above 0 has no increase, but had events.
        """
        grew = self._events("increase", metric, "[$__range] @ end()", where)
        now, before = (self._total(metric, f" @ end(){past}", where) for past in ("", " offset $__range"))
        return _sum(metric, by, f"({grew}) > 0 or ({now}) > 0 unless ({before})")

    def _total(self, metric: Metric, at: str, where: Mapping[str, Value]) -> str:
        """The value of each series of a counter, or the count of each of a histogram."""
        if metric.kind is not Kind.HISTOGRAM:
            return f"{self.series(metric, '', **where)}{at}"
        return f"histogram_count({self.series(metric, 'native', **where)}{at}) or {self.series(metric, 'count', **where)}{at}"

    def highest(self, metric: Metric, window: str, *by: str) -> str:
        """Returns a gauge's maximum over the window, by label keys."""
        return _sum(metric, by, f"max_over_time({self.series(metric)}[{window}])", "max")

    def leading(self, most: int, metric: Metric, *by: str) -> str:
        """Returns the ``most`` highest label sets of a panel's time range, for lines that are too many to be read.

        It has one value for the whole range: a gauge's maximum, a counter's increase, the increase of a histogram's sum.
        """
        range_ = "[$__range] @ end()"
        if metric.kind in (Kind.OBSERVABLE_GAUGE, Kind.UP_DOWN_COUNTER):
            return f"topk({most}, {_sum(metric, by, f'max_over_time({self.series(metric)}{range_})', 'max')})"
        return f"topk({most}, {_sum(metric, by, self._events('increase', metric, range_, {}, 'sum'))})"

    def trailing(self, most: int, metric: Metric, *by: str) -> str:
        """Returns the ``most`` label sets whose gauge was lowest in a panel's time range; one value for the range."""
        minimum = _sum(metric, by, f"min_over_time({self.series(metric)}[$__range] @ end())", "min")
        return f"bottomk({most}, {minimum})"

    def rate(self, metric: Metric, window: str, *by: str, **where: Value) -> str:
        """Returns events per second over the window, by label keys; those of a histogram are its observations."""
        return _sum(metric, by, self._events("rate", metric, f"[{window}]", where))

    def increase(self, metric: Metric, window: str, *by: str, offset: str = "", **where: Value) -> str:
        """Returns the number of events in the window, which ends ``offset`` ago, by label keys."""
        past = f" offset {offset}" if offset else ""
        return _sum(metric, by, self._events("increase", metric, f"[{window}]{past}", where))

    def _events(self, function: str, metric: Metric, window: str, where: Mapping[str, Value], part: str = "count") -> str:
        """A function of each series of a counter, or of each count or sum of a histogram, the native one where there is one."""
        if metric.kind is not Kind.HISTOGRAM:
            return f"{function}({self.series(metric, '', **where)}{window})"
        native, classic = (f"{function}({self.series(metric, form, **where)}{window})" for form in ("native", part))
        return f"histogram_{part}({native}) or {classic}"

    def observations(self, metric: Metric, window: str, *by: str, **where: Value) -> str:
        """Returns the number of a histogram's observations in the window, by label keys, for comparison with another metric's.

        It reads one counter that goes on over a change of form within the window, where ``increase`` sees only the part of the
        window since the change. It steps by a minute: steps shorter than the scrape interval would add to the number.
        """
        native, classic = (self.series(metric, part, **where) for part in ("native", "count"))
        return _sum(metric, by, f"increase((histogram_count({native}) or 1 * {classic})[{window}:1m])")

    def quantile(self, q: float, metric: Metric, window: str, *by: str) -> str:
        """Returns a quantile of a histogram, by label keys; no sample where nothing was observed.

        Prometheus cannot add a native histogram to classic buckets. Where the series of a group differ in form, the result is
        the higher of two quantiles, and that of the whole lies between them.
        """
        native, classic = (f"rate({self.series(metric, part)}[{window}])" for part in ("native", "bucket"))
        # `job` keeps the two apart: histogram_quantile drops a group that has both forms.
        buckets = _sum(metric, ("le", "job", *by), f"{classic} unless ignoring (le) {native}")
        quantiles = f"histogram_quantile({q},\n  {_sum(metric, by, native)}\n  or\n  {buckets}\n)"
        return only_numbers(_sum(metric, by, quantiles, "max"))

    def mean(self, metric: Metric, window: str, *by: str) -> str:
        """Returns the mean of a histogram, by label keys; no sample where nothing was observed."""
        total, count = (_sum(metric, by, self._events("rate", metric, f"[{window}]", {}, part)) for part in ("sum", "count"))
        return only_numbers(f"{total}\n/\n{count}")

    def share_at_or_below(self, metric: Metric, bound: float, window: str, *by: str) -> str:
        """Returns the share of a histogram's observations of at most ``bound``, by label keys; no sample without observations.

        Both forms count, in both parts of the fraction. So a window that spans a change of form counts in full, and where
        Prometheus stores both, the share is the mean of the exact one and the native one, which is interpolated in one bucket.

        Raises:
            ValueError: If the metric has bucket bounds, and ``bound`` is none of them.
        """
        if not metric.bounds:
            native = f"rate({self.series(metric, 'native')}[{window}])"
            return only_numbers(f"histogram_fraction(-Inf, {bound:g}, {_sum(metric, by, native)})")
        below, every = (_sum(metric, by, f"\n  {part}\n") for part in self.rates_at_or_below(metric, bound, window))
        return only_numbers(f"{below}\n/\n{every}")

    def rates_at_or_below(self, metric: Metric, bound: float, window: str) -> tuple[str, str]:
        """Returns observations per second of at most ``bound``, and of all, for each series of either form of a histogram.

        Raises:
            ValueError: If ``bound`` is not a bucket bound of the metric.
        """
        native = f"rate({self.series(metric, 'native')}[{window}])"
        bucket = self.series(metric, "bucket").removesuffix("}")
        # The label `le` tells the forms apart: `or` keeps both.
        below = (
            f"rate({bucket}, {le(metric, bound)}}}[{window}])"
            f"\n  or histogram_fraction(-Inf, {bound:g}, {native}) * histogram_count({native}) >= 0"
        )
        return below, f'rate({bucket}, le="+Inf"}}[{window}])\n  or histogram_count({native})'


def aggregation(metric: Metric) -> str:
    """Returns the function that makes one level of several series of a gauge: ``sum``, ``max`` or ``min``."""
    return {MultiprocessMode.MAX: "max", MultiprocessMode.MIN: "min"}.get(metric.multiprocess_mode, "sum")


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
    keys = [key if key in ("job", "le", _INSTANCE) else metric.label(key).prometheus_key for key in by]
    return f"{function} by ({', '.join(keys)}) ({expr})" if keys else f"{function}({expr})"


def _matcher(label: Label, value: Value) -> str:
    match value:
        case tuple():
            return f'{label.prometheus_key}=~"{"|".join(_known(label, v) for v in value)}"'
        case Not():
            values = value.value if isinstance(value.value, tuple) else (value.value,)
            operator = "!~" if len(values) > 1 else "!="
            return f'{label.prometheus_key}{operator}"{"|".join(_known(label, v) for v in values)}"'
        case str():
            return f'{label.prometheus_key}="{_known(label, value)}"'


def _known(label: Label, value: str) -> str:
    if label.optional and (label.is_open or not value):
        return value  # the empty value, and beside it what others name
    if label.is_open or value not in label.values:
        raise ValueError(f"{label.key} is never {value!r}; it is one of {', '.join(label.values) or 'an open set'}")
    return value
