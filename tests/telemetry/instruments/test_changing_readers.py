"""Readers that come and go, and a provider that is shut down, while handles are in use."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from telemetry._sdk import aggregation as record
from telemetry.agentos import catalogue as rows
from telemetry.pipeline import SCOPE
from tests.helpers.providers import HostFactory
from tests.helpers.samples import points

DURATION, REQUESTS = rows.A2A_REQUEST_DURATION, rows.A2A_REQUESTS
LABELS = {"agent": "navi", "operation": "query", "status": "success"}


def test_measurement_that_meets_a_handle_being_bound_anew(host: HostFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread binds a handle to the readers of now, another one's measurement reaches all of them, too."""
    late = InMemoryMetricReader()
    telemetry, provider = host(InMemoryMetricReader())
    handle = telemetry[REQUESTS].labels(**LABELS)
    handle.inc()
    provider.add_metric_reader(late)
    find = record.InstrumentSource.aggregations

    def interrupted(source: record.InstrumentSource, attributes: Any) -> Any:
        monkeypatch.setattr(record.InstrumentSource, "aggregations", find)
        handle.inc(10)  # what the other thread does just now
        return find(source, attributes)

    monkeypatch.setattr(record.InstrumentSource, "aggregations", interrupted)
    handle.inc(100)
    assert [p[2] for p in points(late)] == [110]


def test_after_shutdown_a_handle_does_what_record_does(way: str, host: HostFactory) -> None:
    """A provider that was shut down takes a handle's measurements as it takes those of record(): quietly, the same."""
    ours, theirs = InMemoryMetricReader(), InMemoryMetricReader()
    telemetry, provider = host(ours)
    _, other = host(theirs)
    histogram = other.get_meter(SCOPE).create_histogram(DURATION.name, DURATION.unit, DURATION.help)
    handle = telemetry[DURATION].labels(**LABELS)
    for seconds in (0.2, 3):
        handle.observe(seconds)
        histogram.record(seconds, LABELS)
        provider.shutdown()
        other.shutdown()
    # Both readers refuse to collect after the shutdown: what was kept is asked of the provider's own storage.
    kept = [
        [
            (aggregation._value, aggregation._sum, aggregation._attributes)
            for storage in meters._measurement_consumer._reader_storages.values()
            for matches in storage._instrument_view_instrument_matches.values()
            for match in matches
            for aggregation in match._attributes_aggregation.values()
        ]
        for meters in (provider, other)
    ]
    assert kept[0] == kept[1] == [([0, 0, 0, 1, 0, 0, 0, 1, 0, 0], 3.2, LABELS)]
