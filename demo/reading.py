"""Scrapes over time, and the queries of the dashboard's Overview row on them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["History", "Scrape"]

Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of ``/metrics`` and its time in seconds."""

    at: float
    samples: dict[Key, float]

    @classmethod
    def parse(cls, at: float, text: str) -> Scrape:
        samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        return cls(at, samples)

    def select(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        """Yields labels and value of each sample with this name and these labels."""
        wanted = set(labels.items())
        for (sample_name, pairs), value in self.samples.items():
            if sample_name == name and wanted <= pairs:
                yield dict(pairs), value

    def total(self, name: str, **labels: str) -> float:
        """Returns the sum over the series with these labels."""
        return sum(value for _, value in self.select(name, **labels))

    def values(self, name: str, key: str) -> list[str]:
        """Returns the values of one label, sorted."""
        return sorted({labels[key] for labels, _ in self.select(name) if key in labels})


@dataclass
class History:
    """The scrapes of the last hour. A window longer than the history starts at the first scrape."""

    keep: float = 3600.0
    scrapes: deque[Scrape] = field(default_factory=deque)

    def add(self, scrape: Scrape) -> None:
        self.scrapes.append(scrape)
        while self.scrapes[0].at < scrape.at - self.keep:
            self.scrapes.popleft()

    @property
    def last(self) -> Scrape:
        return self.scrapes[-1]

    def since(self, window: float) -> Scrape:
        """Returns the oldest scrape within the window, in seconds."""
        return next(scrape for scrape in self.scrapes if scrape.at >= self.last.at - window)

    def increase(self, name: str, window: float, **labels: str) -> float:
        """Returns the plain increase of the counters, without PromQL's extrapolation."""
        return self.last.total(name, **labels) - self.since(window).total(name, **labels)

    def quantile(self, q: float, name: str, window: float, **labels: str) -> float:
        """Returns ``histogram_quantile`` over the increase of the buckets; NaN if nothing was observed."""
        bounds = sorted({float(found["le"]) for found, _ in self.last.select(f"{name}_bucket", **labels)})
        first = self.since(window)
        counts = [_at_most(self.last, name, bound, labels) - _at_most(first, name, bound, labels) for bound in bounds]
        if not counts or counts[-1] == 0:
            return math.nan
        rank = q * counts[-1]
        lower, below = 0.0, 0.0
        for bound, count in zip(bounds, counts, strict=True):
            if count >= rank:
                if math.isinf(bound) or count == below:
                    return lower
                return lower + (bound - lower) * (rank - below) / (count - below)
            lower, below = bound, count
        return lower


def _at_most(scrape: Scrape, name: str, bound: float, labels: dict[str, str]) -> float:
    found = scrape.select(f"{name}_bucket", **labels)
    return sum(value for these, value in found if float(these["le"]) == bound)
