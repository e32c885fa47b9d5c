"""What instances cost in a time series database: series of real expositions, for each part of the catalogue that is on.

``python -m stack.load.cost`` prints the table of ``docs/scale.md``.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from stack.servers.process import until
from stack.servers.service import Service

__all__ = ["BYTES_PER_SAMPLE", "INSTANCES", "PARTS", "Cost", "Series", "cost", "counted", "table"]

PARTS: Mapping[str, Mapping[str, str]] = {
    "the contract's metrics": {},
    "and `AGENTOS_MODEL_METRICS`": {"AGENTOS_MODEL_METRICS": "on"},
    "and `AGENTOS_AGENT_METRICS`": {"AGENTOS_MODEL_METRICS": "on", "AGENTOS_AGENT_METRICS": "on"},
    "and `AGENTOS_RUNTIME_METRICS`": {
        "AGENTOS_MODEL_METRICS": "on",
        "AGENTOS_AGENT_METRICS": "on",
        "AGENTOS_RUNTIME_METRICS": "on",
    },
}
"""What is switched on -> the settings."""

INSTANCES = 1_000
INTERVAL = 15
"""Seconds between two scrapes."""

BYTES_PER_SAMPLE = 1.5
"""Bytes on disk for a sample of a classic series, between those that ``stack.load.blocks`` measures on time and late."""

_FEW, _SOME, _LIMIT = 10, 20, 1_000
"""Workspaces that call an instance; 1,000 is the label's limit, after which they count as ``other``."""


@dataclass(frozen=True, slots=True)
class Series:
    """The series of one exposition.

    Attributes:
        plain: Series of counters, gauges and infos.
        histograms: Histograms by their labels: so many native series they are.
        classic: Series of the histograms' buckets, sums and counts.
    """

    plain: int
    histograms: int
    classic: int

    @property
    def total(self) -> int:
        """Series with classic histograms."""
        return self.plain + self.classic

    @property
    def native(self) -> int:
        """Series with native histograms in place of the classic ones."""
        return self.plain + self.histograms


def counted(text: str) -> Series:
    """Counts the series of an exposition in OpenMetrics."""
    plain = histograms = classic = 0
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]  # no types there
        if family.type == "histogram":
            histograms += sum(sample.name.endswith("_count") for sample in family.samples)
            classic += len(family.samples)
        else:
            plain += len(family.samples)
    return Series(plain, histograms, classic)


@dataclass(frozen=True, slots=True)
class Cost:
    """Series of one instance that is idle, that serves 20 workspaces, or as many as the label's limit admits."""

    idle: Series
    typical: Series
    each: int
    """Series that each further workspace adds."""

    @property
    def limit(self) -> int:
        """Series with as many workspaces as the label's limit admits, reckoned from what each adds."""
        return self.typical.total + (_LIMIT - _SOME) * self.each


def cost(environment: Mapping[str, str]) -> Cost:
    """Returns the series of a service with these settings, whose agents are called once by each workspace."""
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder), environment) as service:
        idle = _scraped(service)
        found = []
        for first, last in ((0, _FEW), (_FEW, _SOME)):
            for number in range(first, last):
                for agent in ("navi", "herald"):
                    service.run(agent, "hello", workspace=f"workspace-{number}").raise_for_status()
            until("the tools of the MCP server to be listed", lambda: _listed(service.metrics()))
            found.append(_scraped(service))
    few, some = found
    each, rest = divmod(some.total - few.total, _SOME - _FEW)
    if rest:
        raise ValueError(f"{_SOME - _FEW} workspaces added {some.total - few.total} series, not the same number each")
    return Cost(idle, some, each)


def _listed(text: str) -> bool:
    """Whether client and server have listed the tools, in a session that opens beside the first calls, or do not measure it."""
    lists = re.findall(r"mcp_(client|server)_operation_duration_seconds_count\{[^}]*tools/list", text)
    return "mcp_servers_up" not in text or set(lists) == {"client", "server"}


def _scraped(service: Service) -> Series:
    return counted(service.metrics("application/openmetrics-text; version=1.0.0"))


def table() -> Iterator[str]:
    """Yields the lines of the table in ``docs/scale.md``."""
    yield "| switched on | idle | 20 workspaces | the same, native | a workspace more | 1,000 workspaces |"
    yield f" series of {INSTANCES:,} instances | samples a second | GB a day |\n"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    for name, environment in PARTS.items():
        found = cost(environment)
        series = found.typical.total * INSTANCES
        rate = series / INTERVAL
        cells = [found.idle.total, found.typical.total, found.typical.native, found.each, found.limit, series, round(rate)]
        daily = rate * 86_400 * BYTES_PER_SAMPLE / 1e9
        yield f"| {name} | {' | '.join(f'{cell:,}' for cell in cells)} | {daily:.1f} |\n"


if __name__ == "__main__":
    sys.stdout.writelines(table())
