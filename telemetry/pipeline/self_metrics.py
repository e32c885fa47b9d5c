"""Series of each metric, and time and size of the last scrape, for a catalogue that has the rows ``DESCRIPTIVE``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telemetry.exposition.reader import PrometheusReader
from telemetry.instruments.instrument import Instrument
from telemetry.instruments.observable import Info, ObservableCallback, Observed
from telemetry.metric import telemetry_metrics

__all__ = ["observe_self"]


def observe_self(instruments: Mapping[str, Instrument[Any]], reader: PrometheusReader) -> None:
    """Lets the descriptive instruments among ``instruments`` (by name) read from the others and from ``reader``."""

    def series() -> dict[tuple[str, ...], float]:
        recorded = (i for i in instruments.values() if not isinstance(i, Info | Observed))
        return {(i.metric.prometheus_name,): len(i.series()) for i in recorded}

    callbacks: dict[str, ObservableCallback] = {
        telemetry_metrics.SERIES.name: series,
        telemetry_metrics.SCRAPE_DURATION.name: lambda: {(): reader.last_scrape.seconds} if reader.last_scrape else {},
        telemetry_metrics.SCRAPE_SIZE.name: lambda: {(): reader.last_scrape.size} if reader.last_scrape else {},
    }
    for name, callback in callbacks.items():
        instrument = instruments.get(name)
        if isinstance(instrument, Observed):
            instrument.watch(callback)
