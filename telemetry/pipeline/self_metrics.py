"""Metrics of the telemetry itself: the series of each metric, and time and size of the last scrape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telemetry.exposition.reader import PrometheusReader
from telemetry.instruments.instrument import Instrument
from telemetry.instruments.observable import Info, ObservableCallback, Observed
from telemetry.metric import telemetry_metrics

__all__ = ["observe_self"]


def observe_self(instruments: Mapping[str, Instrument[Any]], reader: PrometheusReader) -> None:
    """Adds the callbacks of the rows ``DESCRIPTIVE``, as far as the catalogue has them.

    Args:
        instruments: All instruments of the catalogue, by their OpenTelemetry names.
        reader: The reader whose scrapes are measured.
    """

    def series() -> dict[tuple[str, ...], float]:
        recorded = (each for each in instruments.values() if not isinstance(each, Info | Observed))
        return {(each.metric.prometheus_name,): len(each.series()) for each in recorded}

    callbacks: dict[str, ObservableCallback] = {
        telemetry_metrics.SERIES.name: series,
        telemetry_metrics.SCRAPE_DURATION.name: lambda: {(): reader.last_scrape.seconds} if reader.last_scrape else {},
        telemetry_metrics.SCRAPE_SIZE.name: lambda: {(): reader.last_scrape.size} if reader.last_scrape else {},
    }
    for name, callback in callbacks.items():
        instrument = instruments.get(name)
        if isinstance(instrument, Observed):
            instrument.watch(callback)
