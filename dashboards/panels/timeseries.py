"""Panels of one metric over time, the same on every dashboard."""

from __future__ import annotations

import re

from grafana_foundation_sdk.builders import timeseries

from dashboards.panels import links
from dashboards.panels.theme import BYTES, MINUTE_RATES, RATES, SECONDS, TOKENS_A_SECOND, over_time
from dashboards.promql import Query, Value
from telemetry.metric import Metric
from telemetry.metric.naming import label_key

__all__ = ["NOW", "STEP", "distribution", "end", "events", "narrowed", "per_minute", "rate"]

NOW = "5m"
"""Window of the numbers as of now."""
STEP = "$__rate_interval"

_WORDS = {
    "s": (SECONDS, "s", "calls are slower"),
    "By": (BYTES, "bytes", "calls are bigger"),
    "{token}/s": (TOKENS_A_SECOND, "tokens/s", "streams are faster"),
}
"""Unit of a histogram -> Grafana's unit, the word for it, and the meaning of a mean beyond the last bucket."""


def rate(query: Query, metric: Metric, key: str, unit: str = "") -> timeseries.Panel:
    """Returns events per second by one label; a series links to its traces and to the dashboard narrowed to it."""
    lines = events(query, metric, key)
    panel = over_time(lines, unit or RATES[metric.unit], fixed=_fixed(metric, key))
    return panel.data_links([*narrowed(query, key), links.traces_of(key)])


def per_minute(query: Query, metric: Metric, *keys: str, unit: str = "", most: int = 0, **where: Value) -> timeseries.Panel:
    """Returns events per minute by labels, for rare events; ``most`` as in ``events``."""
    lines = events(query, metric, *keys, times=60, legend="", most=most, **where)
    panel = over_time(lines, unit or MINUTE_RATES[metric.unit], fixed=_fixed(metric, keys[0]))
    return panel.data_links([link for key in keys for link in narrowed(query, key)])


def events(
    query: Query, metric: Metric, *keys: str, times: int = 1, legend: str = "", most: int = 0, **where: Value
) -> dict[str, str]:
    """Returns the queries of events per second by labels, by their legends.

    A line that is 0 over the whole time range has no place in the legend. Where every line is, one line ``none`` stands for
    them, so that a panel without events differs from one without data.

    Args:
        query: Builds the queries.
        metric: The row of the catalogue.
        *keys: Labels of the lines.
        times: Multiplies the rate, 60 for events per minute.
        legend: Template of the lines' names; without one the values of the labels.
        most: So many lines at most, those with most events in the time range; 0 for all.
        **where: Conditions by label key.
    """
    moved = query.moved(metric, *keys, **where)
    shown = f"topk({most}, {moved})" if most else moved
    factor = f"{times} * " if times != 1 else ""
    lines = f"{factor}{query.rate(metric, STEP, *keys, **where)}\nand\n{shown}"
    none = f"{query.rate(metric, STEP, **where)}\nunless\n{query.moved(metric, **where)}"
    return {legend or _legend(metric, *keys): lines, "none": none}


def distribution(query: Query, metric: Metric, key: str, description: str) -> timeseries.Panel:
    """Returns p95 and mean of a histogram by one label, with exemplars."""
    unit, _, more = _WORDS[metric.unit]
    lines = {
        f"{_legend(metric, key)} p95": query.quantile(0.95, metric, STEP, key),
        f"{_legend(metric, key)} mean": query.mean(metric, STEP, key),
    }
    ends = f"{end(metric)}: a mean near or above it says that {more}." if metric.bounds else ""
    panel = over_time(lines, unit, fixed=_fixed(metric, key), exemplars=True).description(
        f"{description}{ends} A point is one call: click it to see its trace."
    )
    return panel.data_links([links.traces_of(key)])


def narrowed(query: Query, key: str) -> list[links.Link]:
    """Returns the link from a series to its dashboard narrowed to this label's value, if the dashboard has that variable."""
    found = re.fullmatch(r"\$\{(\w+):regex\}", query.variables.get(key, ""))
    return [links.only(found[1], label_key(key))] if found else []


def end(metric: Metric) -> str:
    """Returns the beginning of a sentence about the highest quantile that classic buckets show; empty without bounds."""
    return f" Classic buckets end at {metric.bounds[-1]:g} {_WORDS[metric.unit][1]}" if metric.bounds else ""


def _legend(metric: Metric, *keys: str) -> str:
    return " ".join(f"{{{{{metric.label(key).prometheus_key}}}}}" for key in keys)


def _fixed(metric: Metric, key: str) -> tuple[str, ...]:
    """The values that may have a colour of their own: a closed label's."""
    return metric.label(key).values
