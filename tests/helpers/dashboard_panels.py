"""The dashboards' panels as Grafana queries them, and the same numbers computed from single series."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.servers.prometheus import Prometheus

__all__ = [
    "MODEL_PANELS",
    "PANELS",
    "RATE_INTERVAL",
    "Measured",
    "Raw",
    "Selection",
    "Where",
    "asked",
    "distribution",
    "every",
    "grew",
    "interpolated",
    "now",
    "quantile",
    "quantiles",
    "rates",
]

ROOT = Path(__file__).parents[2]
Where = Callable[[dict[str, str]], bool]

RATE_INTERVAL = "60s"
"""Grafana's value of $__rate_interval for a scrape interval of 15 s."""


def _panels(name: str) -> dict[str, dict[str, Any]]:
    board = json.loads((ROOT / f"dashboards/{name}.json").read_text())
    return {panel["title"]: panel for panel in board["panels"] if panel["type"] != "row"}


PANELS = _panels("agentos-dashboard")
MODEL_PANELS = _panels("agentos-models")


@dataclass(frozen=True, slots=True)
class Measured:
    """A Prometheus that has scraped all of the traffic, and the time of its last sample."""

    store: Prometheus
    at: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen values of the variables; a label without an entry has All."""

    name: str
    chosen: Mapping[str, Sequence[str]]

    def has(self, labels: Mapping[str, str]) -> bool:
        """Returns whether a series with these labels is selected."""
        return all(labels.get(key) in values for key, values in self.chosen.items() if key in labels)

    def only(self, *keys: str) -> Selection:
        """Returns the selection for these labels, with All for the others."""
        return Selection(self.name, {key: values for key, values in self.chosen.items() if key in keys})


def interpolated(expr: str, selection: Selection) -> str:
    """Returns the query with the variables filled in as Grafana does: All as ``.*``, else the values as a pattern."""
    filled = expr.replace("$__rate_interval", RATE_INTERVAL).replace("$job", "agentos")
    for name in ("workspace_id", "operation", "provider", "agent", "model"):
        values = [re.sub(r"([\\^$*+?.()|\[\]{}/])", r"\\\1", value) for value in selection.chosen.get(name, ())]
        pattern = ".*" if not values else values[0] if len(values) == 1 else f"({'|'.join(values)})"
        filled = filled.replace(f"${{{name}:regex}}", pattern)
    assert "$" not in filled
    return filled


def asked(store: Prometheus, title: str, selection: Selection, at: float) -> dict[str, float]:
    """Returns what a panel shows at a time, over all of its queries: legend -> value."""
    found: dict[str, float] = {}
    for target in (PANELS | MODEL_PANELS)[title]["targets"]:
        for series in store.get("query", query=interpolated(target["expr"], selection), time=str(at))["result"]:
            legend = target["legendFormat"]
            for key, value in series["metric"].items():
                legend = legend.replace(f"{{{{{key}}}}}", value)
            assert legend not in found, f"{title} has two series called {legend}"
            found[legend] = float(series["value"][1])
    return found


def grew(measured: Measured, series: str, *, from_nothing: bool = False) -> float:
    """Returns the difference of a counter's last and first sample, over all instances.

    Args:
        measured: The Prometheus and the time of its last sample.
        series: Name and labels of the counter.
        from_nothing: Whether the counter counts from 0 even if its first sample is above 0.
    """
    name, _, labels = series.partition("{")
    query = f'{name}{{job="agentos",{labels}[5m]'
    found = measured.store.get("query", query=query, time=str(measured.at))["result"]
    assert found, f"nothing is called {series}"
    first, last = (sum(float(one["values"][index][1]) for one in found) for index in (0, -1))
    return last - (0 if from_nothing else first)


def every(_: dict[str, str]) -> bool:
    """Accepts every series."""
    return True


class Raw:
    """Single series, selected and summed here instead of by Prometheus."""

    def __init__(self, store: Prometheus, at: float, selection: Selection) -> None:
        self._store, self._at, self._selection = store, at, selection

    def by(self, metric: str, function: str, *keys: str, where: Where = every) -> dict[tuple[str, ...], float]:
        """Returns sums by label values of a function of each series, such as ``rate[5m]``; ``""`` for the samples."""
        name, _, window = function.partition("[")
        query = f"{name}({metric}[{window})" if window else metric
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for series in self._store.get("query", query=query, time=str(self._at))["result"]:
            labels = series["metric"]
            if labels["job"] == "agentos" and self._selection.has(labels) and where(labels):
                sums[tuple(labels[key] for key in keys)] += float(series["value"][1])
        return dict(sums)

    def total(self, metric: str, function: str, where: Where = every) -> float:
        """Returns the sum of all selected series."""
        return sum(self.by(metric, function, where=where).values())


def quantile(q: float, buckets: Mapping[float, float]) -> float:
    """Returns a quantile of cumulative bucket rates, interpolated within its bucket as Prometheus documents it."""
    bounds = sorted(buckets)
    rank = q * buckets[bounds[-1]]
    index = next(n for n, bound in enumerate(bounds) if buckets[bound] >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]
    low, below = (bounds[index - 1], buckets[bounds[index - 1]]) if index else (0.0, 0.0)
    return low + (bounds[index] - low) * (rank - below) / (buckets[bounds[index]] - below)


def quantiles(raw: Raw, metric: str, window: str, *keys: str) -> dict[tuple[str, ...], dict[float, float]]:
    """Returns the buckets of each group: upper bound -> rate."""
    groups: dict[tuple[str, ...], dict[float, float]] = {}
    for (bound, *group), rate in raw.by(f"{metric}_bucket", f"rate[{window}]", "le", *keys).items():
        groups.setdefault(tuple(group), {})[float(bound)] = rate
    return {group: buckets for group, buckets in groups.items() if buckets[float("inf")]}


def distribution(raw: Raw, metric: str, key: str) -> dict[str, float]:
    """Returns p95 and mean by a label, as a panel shows them."""
    window = f"rate[{RATE_INTERVAL}]"
    total, count = (raw.by(f"{metric}_{part}", window, key) for part in ("sum", "count"))
    found = {f"{group[0]} p95": quantile(0.95, b) for group, b in quantiles(raw, metric, RATE_INTERVAL, key).items()}
    return found | {f"{group[0]} mean": total[group] / count[group] for group in count if count[group]}


def rates(raw: Raw, metric: str, *keys: str, where: Where = every, times: float = 1) -> dict[str, float]:
    """Returns events per second by labels, multiplied by ``times``."""
    found = raw.by(metric, f"rate[{RATE_INTERVAL}]", *keys, where=where)
    return {" ".join(group): times * rate for group, rate in found.items()}


def now(value: float) -> dict[str, float]:
    """Returns a number as its panel shows it."""
    return {"now": value}
