"""The telemetry describing itself: series a metric, the last scrape's time and size. On where the catalogue has the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.agentos import catalogue as rows
from telemetry.instruments.observable import Info, Observed, Reading

if TYPE_CHECKING:
    from telemetry.pipeline.telemetry import Telemetry

__all__ = ["describe"]


def describe(telemetry: Telemetry) -> None:
    """Let the descriptive rows that the catalogue has read from ``telemetry``."""
    reader = telemetry.reader

    def series() -> dict[tuple[str, ...], float]:
        recorded = (i for i in telemetry.instruments if not isinstance(i, Info | Observed))
        return {(i.metric.prometheus_name,): len(i.series()) for i in recorded}

    readings: dict[str, Reading] = {
        rows.TELEMETRY_SERIES.name: series,
        rows.TELEMETRY_SCRAPE_DURATION.name: lambda: {(): reader.last_scrape.seconds} if reader.last_scrape else {},
        rows.TELEMETRY_SCRAPE_SIZE.name: lambda: {(): reader.last_scrape.size} if reader.last_scrape else {},
    }
    for name, reading in readings.items():
        metric = telemetry.catalogue.by_name.get(name)
        if metric is not None:
            telemetry[metric].watch(reading)
