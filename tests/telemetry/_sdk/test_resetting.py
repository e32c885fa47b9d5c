"""Streams with delta temporality: every measurement is in exactly one collect, as with ``record()``."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest
from opentelemetry.sdk.metrics import Counter, Histogram, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.trace import SpanContext, TraceFlags

from telemetry import Telemetry
from telemetry._sdk import resetting
from telemetry._sdk.reservoir import pack_span_reference
from telemetry.metric import Catalogue, counter, histogram, open_label, telemetry_metrics, up_down_counter
from tests.helpers.samples import above_zero, points
from tests.helpers.sdk_versions import bounds_streams

NAME = open_label("name", "n", limit=9)
HITS, LEVEL = counter("hits", "", "Hits", NAME), up_down_counter("level", "", "Level", NAME)
TOOK = histogram("took", "s", "Took", NAME, bounds=(1, 5))
ROWS = Catalogue([HITS, LEVEL, TOOK, *telemetry_metrics.TELEMETRY])
DELTA = dict.fromkeys((Counter, Histogram, UpDownCounter), AggregationTemporality.DELTA)


def new() -> tuple[Telemetry, InMemoryMetricReader]:
    """Returns a telemetry with a reader of deltas beside its own reader."""
    reader = InMemoryMetricReader(DELTA)
    return Telemetry(ROWS, metric_readers=[reader]), reader


def deltas(reader: InMemoryMetricReader) -> list[tuple[Any, ...]]:
    """Collects, and returns the name, labels, value and exemplars of the points of ``ROWS``."""
    return [point for point in points(reader) if point[0] in ("hits", "level", "took")]


def matches(telemetry: Telemetry, metric: Any) -> list[Any]:
    """Returns the SDK's streams of a metric that are reset at a collect."""
    instrument = telemetry[metric].source.instrument
    storages = instrument._measurement_consumer._reader_storages.values()
    return [
        match
        for storage in storages
        for match in storage._instrument_view_instrument_matches[instrument]
        if match._reset_on_collect
    ]


def test_each_collect_has_what_was_recorded_since_the_last() -> None:
    """A collect has the measurements since the one before; a series without any has no point."""
    telemetry, reader = new()
    hits, level, other = telemetry[HITS].labels("a"), telemetry[LEVEL].labels("a"), telemetry[HITS].labels("b")
    collected = []
    for amount in (1, 10, 0, 100):
        if amount:
            hits.inc(amount)
            hits.inc(amount)
            level.dec(amount)
            level.inc(3 * amount)
        else:
            other.inc(5)
        collected.append([(name, dict(labels)["name"], value) for name, labels, value, _ in deltas(reader)])
    assert collected == [
        [("hits", "a", 2), ("level", "a", 2)],
        [("hits", "a", 20), ("level", "a", 20)],
        [("hits", "b", 5)],
        [("hits", "a", 200), ("level", "a", 200)],
    ]
    assert above_zero(telemetry, "hits")[("hits_total", (("name", "a"),))] == 222


@bounds_streams
def test_points_follow_each_other_in_time() -> None:
    """A point starts where the collect before ended, also that of a series which left one out."""
    telemetry, reader = new()
    times = []
    for name in ("a", "b", "a"):
        telemetry[TOOK].labels(name).observe(1)
        data = reader.get_metrics_data()
        assert data is not None
        (point,) = [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "took"
            for point in metric.data.data_points
        ]
        times.append((point.start_time_unix_nano, point.time_unix_nano))
    assert times[1][0] == times[0][1]
    assert times[2][0] == times[1][1]


@bounds_streams
@pytest.mark.parametrize("call", ["observe", "record_with_exemplar"])
def test_collect_just_before_a_measurement(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement that has found its aggregation when a collect comes is in the next collect."""
    telemetry, reader = new()
    took = telemetry[TOOK].labels("a")
    record: Callable[[float], None] = (
        took.observe if call == "observe" else lambda value: took.record_with_exemplar(value, None)
    )
    record(2)
    first: list[tuple[Any, ...]] = []
    search = resetting.bisect_left

    def collecting(*arguments: Any) -> int:
        monkeypatch.setattr(resetting, "bisect_left", search)
        first.extend(deltas(reader))
        return search(*arguments)

    record(3)
    monkeypatch.setattr(resetting, "bisect_left", collecting)
    record(4)
    assert [point[2] for point in first] == [(2, 5, (0, 2, 0), 2, 3)]
    assert [point[2] for point in deltas(reader)] == [(1, 4, (0, 1, 0), 4, 4)]


def test_threads_lose_and_double_nothing() -> None:
    """Collects while four threads record: all deltas together are what was recorded."""
    telemetry, reader = new()
    hits, took, level = telemetry[HITS].labels("a"), telemetry[TOOK].labels("a"), telemetry[LEVEL].labels("a")
    totals = {"hits": 0.0, "took": 0.0, "level": 0.0}

    def work() -> None:
        for _ in range(2000):
            hits.inc()
            took.observe(2)
            level.inc(3)

    def collect() -> None:
        for name, _, value, _ in deltas(reader):
            totals[name] += value[1] if name == "took" else value

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        collect()
    collect()
    assert totals == {"hits": 8000.0, "took": 16000.0, "level": 24000.0}
    assert above_zero(telemetry, "hits") == {("hits_total", (("name", "a"),)): 8000.0}


def test_exemplar_is_in_the_collect_of_its_measurement() -> None:
    """A measurement's exemplar is in the same collect, before and after a reset."""
    telemetry, reader = new()
    for metric in (TOOK, HITS):
        telemetry[metric].labels("a").start()
    deltas(reader)
    for number in (1, 2):
        reference = pack_span_reference(number, SpanContext(number, number, False, TraceFlags(1)))
        telemetry[TOOK].labels("a").record_with_exemplar(number, reference)
        telemetry[HITS].labels("a").record_with_exemplar(number, reference)
        exemplars = {point[0]: point[3] for point in deltas(reader)}
        assert exemplars == {"hits": ((number, number, {}),), "took": ((number, number, {}),)}


def test_measurements_by_record_and_by_a_series() -> None:
    """An aggregation that ``record()`` makes first, with a lock of its own, is fed by the series too."""
    telemetry, reader = new()
    for _ in range(2):
        telemetry[TOOK].source.instrument.record(2, {"name": "a"})
        telemetry[TOOK].labels("a").observe(3)
        telemetry[TOOK].labels("a").observe(3)
        telemetry[TOOK].source.instrument.record(2, {"name": "a"})
        assert [point[2] for point in deltas(reader)] == [(4, 10, (0, 4, 0), 2, 3)]


@bounds_streams
def test_series_over_the_limit_of_the_sdk() -> None:
    """The limit of a stream holds between two collects: then a series that had no room may have it."""
    telemetry, reader = new()
    telemetry[HITS].labels("a").inc(0)
    for match in matches(telemetry, HITS):
        match._cardinality_limit = 1
    collected = []
    for first, second in (("a", "b"), ("b", "a")):
        telemetry[HITS].labels(first).inc(1)
        telemetry[HITS].labels(second).inc(2)
        telemetry[HITS].labels(second).inc(3)
        collected.append([(dict(point[1]), point[2]) for point in deltas(reader)])
    assert collected == [
        [({"name": "a"}, 1), ({"otel.metric.overflow": True}, 5)],
        [({"name": "b"}, 1), ({"otel.metric.overflow": True}, 5)],
    ]


@bounds_streams
def test_idle_series_keeps_no_other_alive() -> None:
    """A series without measurements does not keep the aggregations of the other series that were collected with it."""
    telemetry, reader = new()
    idle, busy = telemetry[HITS].labels("a"), telemetry[HITS].labels("b")
    idle.inc()
    busy.inc()
    (stream,) = matches(telemetry, HITS)
    old = ref(next(each for each in stream._attributes_aggregation.values() if each._attributes == {"name": "b"}))
    reader.collect()
    busy.inc()
    gc.collect()
    assert old() is None
