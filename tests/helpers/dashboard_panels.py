"""The dashboards' panels as Grafana queries them, and the same numbers computed from single series."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from stack.servers.prometheus import Prometheus

__all__ = [
    "AGENT_PANELS",
    "FORMS",
    "HISTOGRAM_PANELS",
    "INTERVAL",
    "MODEL_PANELS",
    "PANELS",
    "RATE_INTERVAL",
    "RUNTIME_PANELS",
    "TIME_RANGE",
    "Bucket",
    "Measured",
    "Raw",
    "Selection",
    "Where",
    "asked",
    "distribution",
    "drawn",
    "every",
    "grew",
    "histogram_rates",
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


INTERVAL = "15s"
"""Grafana's value of $__interval, the step, for a scrape interval of 15 s and a short time range."""

TIME_RANGE = "300s"
"""Grafana's value of $__range, longer than the traffic of a test."""


def _panels(name: str) -> dict[str, dict[str, Any]]:
    board = json.loads((ROOT / f"dashboards/{name}.json").read_text())
    every_one = [one for panel in board["panels"] for one in (panel, *panel.get("panels", ()))]
    return {panel["title"]: panel for panel in every_one if panel["type"] != "row"}


PANELS = _panels("agentos-dashboard")
MODEL_PANELS = _panels("agentos-models")
AGENT_PANELS = _panels("agentos-agents")
RUNTIME_PANELS = _panels("agentos-runtime")

EVERY_PANEL = PANELS | MODEL_PANELS | AGENT_PANELS | RUNTIME_PANELS

HISTOGRAM_PANELS = [title for title, panel in EVERY_PANEL.items() if "histogram_" in json.dumps(panel["targets"])]

FORMS: Mapping[str, Mapping[str, Any]] = {
    "agentos": {},
    "native": {"scrape_native_histograms": True},
    "both": {"scrape_native_histograms": True, "always_scrape_classic_histograms": True},
    "custom": {"convert_classic_histograms_to_nhcb": True},
}
"""Scrape job -> the options by which Prometheus stores histograms: classic, native, both, or native with the classic bounds."""


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
    job: str = "agentos"

    def has(self, labels: Mapping[str, str]) -> bool:
        """Returns whether a series with these labels is selected."""
        return all(labels.get(key) in values for key, values in self.chosen.items() if key in labels)

    def only(self, *keys: str) -> Selection:
        """Returns the selection for these labels, with All for the others."""
        return Selection(self.name, {key: values for key, values in self.chosen.items() if key in keys}, self.job)


def interpolated(expr: str, selection: Selection) -> str:
    """Returns the query with the variables filled in as Grafana does: All as ``.*``, else the values as a pattern."""
    given = {"$__rate_interval": RATE_INTERVAL, "$__interval": INTERVAL, "$__range": TIME_RANGE, "$job": selection.job}
    filled = reduce(lambda text, item: text.replace(*item), given.items(), expr)
    for name in ("workspace_id", "operation", "provider", "agent", "model", "tool", "mcp_server", "instance", "worker"):
        values = [re.sub(r"([\\^$*+?.()|\[\]{}/])", r"\\\1", value) for value in selection.chosen.get(name, ())]
        pattern = ".*" if not values else values[0] if len(values) == 1 else f"({'|'.join(values)})"
        filled = filled.replace(f"${{{name}:regex}}", pattern)
    assert "$" not in filled
    return filled


def asked(store: Prometheus, title: str, selection: Selection, at: float) -> dict[str, float]:
    """Returns what a panel shows at a time, over all of its queries: legend -> value."""
    found: dict[str, float] = {}
    for target in EVERY_PANEL[title]["targets"]:
        for series in store.get("query", query=interpolated(target["expr"], selection), time=str(at))["result"]:
            legend = target["legendFormat"]
            for key, value in series["metric"].items():
                legend = legend.replace(f"{{{{{key}}}}}", value)
            legend = re.sub(r" ?\{\{\w+\}\}", "", legend)  # a label that the series lacks
            assert legend not in found, f"{title} has two series called {legend}"
            found[legend] = float(series["value"][1])
    return found


def drawn(panel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the queries of a panel whose traffic had events: all but the lines that stand for their absence."""
    return [target for target in panel["targets"] if target["legendFormat"] not in ("none", "no prices")]


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


class Bucket(NamedTuple):
    """A bucket of a histogram's rate."""

    lower: float
    upper: float
    rate: float


class Raw:
    """Single series, selected and summed here instead of by Prometheus."""

    def __init__(self, store: Prometheus, at: float, selection: Selection) -> None:
        self._store, self.at, self._selection = store, at, selection
        self.classic = selection.job == "agentos"
        self.exponential = selection.job in ("native", "both")

    def by(self, metric: str, function: str, *keys: str, where: Where = every) -> dict[tuple[str, ...], float]:
        """Returns sums by label values of a function of each series, such as ``rate[5m]``; ``""`` for the samples."""
        name, _, window = function.partition("[")
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for series in self._series(f"{name}({metric}[{window})" if window else metric, where):
            sums[tuple(series["metric"][key] for key in keys)] += float(series["value"][1])
        return dict(sums)

    def total(self, metric: str, function: str, where: Where = every) -> float:
        """Returns the sum of all selected series."""
        return sum(self.by(metric, function, where=where).values())

    def part(self, metric: str, part: str, window: str, *keys: str, where: Where = every) -> dict[tuple[str, ...], float]:
        """Returns the rate of a histogram's ``sum`` or ``count`` by label values, in the form that the job stores."""
        if self.classic:
            return self.by(f"{metric}_{part}", f"rate[{window}]", *keys, where=where)
        rates: dict[tuple[str, ...], float] = defaultdict(float)
        for series in self._series(f"rate({metric}[{window}])", where):
            rates[tuple(series["metric"][key] for key in keys)] += float(series["histogram"][1][part])
        return dict(rates)

    def counts(self, metric: str, *keys: str, where: Where = every) -> dict[tuple[str, ...], float]:
        """Returns the number of a histogram's observations by label values."""
        if self.classic:
            return self.by(f"{metric}_count", "", *keys, where=where)
        counts: dict[tuple[str, ...], float] = defaultdict(float)
        for series in self._series(metric, where):
            counts[tuple(series["metric"][key] for key in keys)] += float(series["histogram"][1]["count"])
        return dict(counts)

    def native(self, metric: str, window: str, *keys: str) -> dict[tuple[str, ...], list[Bucket]]:
        """Returns the buckets of each group's native histogram, at the coarsest resolution among its series."""
        groups: dict[tuple[str, ...], list[Bucket]] = defaultdict(list)
        for series in self._series(f"rate({metric}[{window}])", every):
            buckets = series["histogram"][1].get("buckets", ())
            groups[tuple(series["metric"][key] for key in keys)] += [Bucket(*map(float, bucket[1:])) for bucket in buckets]
        return {group: _merged(buckets, exponential=self.exponential) for group, buckets in groups.items()}

    def _series(self, query: str, where: Where) -> Iterator[dict[str, Any]]:
        for series in self._store.get("query", query=query, time=str(self.at))["result"]:
            labels = series["metric"]
            if labels["job"] == self._selection.job and self._selection.has(labels) and where(labels):
                yield series


def _merged(buckets: Iterable[Bucket], *, exponential: bool) -> list[Bucket]:
    """Adds up the buckets of several histograms; exponential ones of several resolutions in the coarsest of them."""
    filled = [bucket for bucket in buckets if bucket.rate]
    width = max((math.log2(bucket.upper / bucket.lower) for bucket in filled), default=0) if exponential else 0
    sums: dict[tuple[float, float], float] = defaultdict(float)
    for lower, upper, rate in filled:
        # The bounds of finer buckets include those of coarser ones.
        index = math.ceil(round(math.log2(upper) / width, 6)) if exponential else 0
        sums[(2 ** ((index - 1) * width), 2 ** (index * width)) if exponential else (lower, upper)] += rate
    return [Bucket(*bounds, rate) for bounds, rate in sorted(sums.items())]


def quantile(q: float, buckets: Sequence[Bucket], *, exponential: bool = False) -> float:
    """Returns a quantile, interpolated within its bucket as Prometheus documents it.

    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    rank, below = q * sum(bucket.rate for bucket in buckets), 0.0
    for bucket in buckets:
        if below + bucket.rate >= rank:
            break
        below += bucket.rate
    if math.isinf(bucket.upper):
        return bucket.lower
    share, lower = (rank - below) / bucket.rate, max(bucket.lower, 0)
    return lower * (bucket.upper / lower) ** share if exponential else lower + (bucket.upper - lower) * share


def quantiles(raw: Raw, q: float, metric: str, window: str, *keys: str) -> dict[tuple[str, ...], float]:
    """Returns a quantile of each group that was observed, in the form that the job stores."""
    groups = _classic(raw, metric, window, *keys) if raw.classic else raw.native(metric, window, *keys)
    return {
        group: quantile(q, buckets, exponential=raw.exponential)
        for group, buckets in groups.items()
        if any(bucket.rate for bucket in buckets)
    }


def _classic(raw: Raw, metric: str, window: str, *keys: str) -> dict[tuple[str, ...], list[Bucket]]:
    """The buckets of each group, from the cumulative ones."""
    cumulative: dict[tuple[str, ...], dict[float, float]] = defaultdict(dict)
    for (bound, *group), rate in raw.by(f"{metric}_bucket", f"rate[{window}]", "le", *keys).items():
        cumulative[tuple(group)][float(bound)] = rate
    return {
        group: [
            Bucket(lower, upper, rates[upper] - rates.get(lower, 0)) for lower, upper in pairwise([-math.inf, *sorted(rates)])
        ]
        for group, rates in cumulative.items()
    }


def distribution(raw: Raw, metric: str, key: str) -> dict[str, float]:
    """Returns p95 and mean by a label, as a panel shows them."""
    total, count = (raw.part(metric, part, RATE_INTERVAL, key) for part in ("sum", "count"))
    found = {f"{group[0]} p95": value for group, value in quantiles(raw, 0.95, metric, RATE_INTERVAL, key).items()}
    return found | {f"{group[0]} mean": total[group] / count[group] for group in count if count[group]}


def rates(raw: Raw, metric: str, *keys: str, where: Where = every, times: float = 1, between: str = " ") -> dict[str, float]:
    """Returns events per second by labels, multiplied by ``times``; ``none`` where there was none in the time range."""
    found = raw.by(metric, f"rate[{RATE_INTERVAL}]", *keys, where=where)
    moved = {group for group, value in raw.by(metric, "", *keys, where=where).items() if value}
    shown = {between.join(group): times * rate for group, rate in found.items() if group in moved}
    return shown or ({"none": 0} if found else {})


def histogram_rates(raw: Raw, metric: str, *keys: str, where: Where = every, times: float = 1) -> dict[str, float]:
    """Returns a histogram's observations per second by labels, as ``rates``."""
    found = raw.part(metric, "count", RATE_INTERVAL, *keys, where=where)
    moved = {group for group, value in raw.counts(metric, *keys, where=where).items() if value}
    shown = {" ".join(group): times * rate for group, rate in found.items() if group in moved}
    return shown or ({"none": 0} if found else {})


def now(value: float) -> dict[str, float]:
    """Returns a number as its panel shows it."""
    return {"now": value}
