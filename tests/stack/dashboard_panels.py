"""The dashboard's panels as Grafana asks Prometheus for them, and the same numbers worked out from single series."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.prometheus import Prometheus

__all__ = ["PANELS", "Raw", "Selection", "Where", "asked", "every", "interpolated", "quantile"]

ROOT = Path(__file__).parents[2]
Where = Callable[[dict[str, str]], bool]

RATE_INTERVAL = "60s"
"""What Grafana writes for $__rate_interval with a scrape interval of 15 s."""

PANELS: dict[str, dict[str, Any]] = {
    panel["title"]: panel
    for panel in json.loads((ROOT / "dashboards/agentos-dashboard.json").read_text())["panels"]
    if panel["type"] != "row"
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What is chosen in the variables; a label that is not named has All."""

    name: str
    chosen: Mapping[str, Sequence[str]]

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels is selected."""
        return all(labels.get(key) in values for key, values in self.chosen.items() if key in labels)

    def only(self, *keys: str) -> Selection:
        """The same for these labels, All for the others."""
        return Selection(self.name, {key: values for key, values in self.chosen.items() if key in keys})


def interpolated(expr: str, selection: Selection) -> str:
    """The query with the variables filled in as Grafana does: All as ``.*``, else the values as a regular expression."""
    filled = expr.replace("$__rate_interval", RATE_INTERVAL).replace("$job", "agentos")
    for name in ("workspace_id", "operation", "provider", "agent"):
        values = [re.sub(r"([\\^$*+?.()|\[\]{}/])", r"\\\1", value) for value in selection.chosen.get(name, ())]
        pattern = ".*" if not values else values[0] if len(values) == 1 else f"({'|'.join(values)})"
        filled = filled.replace(f"${{{name}:regex}}", pattern)
    assert "$" not in filled
    return filled


def asked(store: Prometheus, title: str, selection: Selection, at: float) -> dict[str, float]:
    """What a panel shows at a time: legend -> value, over all of its queries."""
    found: dict[str, float] = {}
    for target in PANELS[title]["targets"]:
        for series in store.get("query", query=interpolated(target["expr"], selection), time=str(at))["result"]:
            legend = target["legendFormat"]
            for key, value in series["metric"].items():
                legend = legend.replace(f"{{{{{key}}}}}", value)
            assert legend not in found, f"{title} has two series called {legend}"
            found[legend] = float(series["value"][1])
    return found


def every(_: dict[str, str]) -> bool:
    """Every series."""
    return True


class Raw:
    """Single series, selected and summed up here and not by Prometheus."""

    def __init__(self, store: Prometheus, at: float, selection: Selection) -> None:
        self._store, self._at, self._selection = store, at, selection

    def by(self, metric: str, function: str, *keys: str, where: Where = every) -> dict[Any, float]:
        """Sums by label values of a function over every series, such as ``rate[5m]``; ``""`` for the samples themselves."""
        name, _, window = function.partition("[")
        query = f"{name}({metric}[{window})" if window else metric
        sums: dict[Any, float] = defaultdict(float)
        for series in self._store.get("query", query=query, time=str(self._at))["result"]:
            labels = series["metric"]
            if labels["job"] == "agentos" and self._selection.has(labels) and where(labels):
                sums[tuple(labels[key] for key in keys)] += float(series["value"][1])
        return dict(sums)

    def total(self, metric: str, function: str, where: Where = every) -> float:
        """The sum of all selected series."""
        return sum(self.by(metric, function, where=where).values())


def quantile(q: float, buckets: Mapping[float, float]) -> float:
    """A quantile of cumulative bucket rates, interpolated within its bucket as Prometheus documents it."""
    bounds = sorted(buckets)
    rank = q * buckets[bounds[-1]]
    index = next(n for n, bound in enumerate(bounds) if buckets[bound] >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]
    low, below = (bounds[index - 1], buckets[bounds[index - 1]]) if index else (0.0, 0.0)
    return low + (bounds[index] - low) * (rank - below) / (buckets[bounds[index]] - below)
