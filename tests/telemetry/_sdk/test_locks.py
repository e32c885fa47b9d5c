"""The series of one event share a lock: those of one provider whose first label has the same value."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from telemetry import Telemetry
from telemetry._sdk import locks
from telemetry._sdk.locks import lock_for
from telemetry.metric import Catalogue, counter, histogram, open_label, telemetry_metrics
from tests.helpers.fork import in_child
from tests.helpers.samples import above_zero, points
from tests.helpers.sdk_versions import bounds_streams

NAME, KIND = open_label("name", "n", limit=9), open_label("kind", "k", limit=9)
TOOK = histogram("took", "s", "Took", NAME, KIND, bounds=(1,))
LARGE = histogram("large", "By", "Large", NAME, bounds=(1,))
CAME = counter("came", "", "Came", NAME)
ALL, EVERY = counter("all", "", "All"), counter("every", "", "Every")
ROWS = Catalogue([TOOK, LARGE, CAME, ALL, EVERY, *telemetry_metrics.TELEMETRY])


def locks_of(telemetry: Telemetry, metric: Any, *values: str) -> list[Any]:
    """Returns the lock of each aggregation of a series; there is one aggregation for each reader."""
    series = telemetry[metric].labels(*values)
    return [aggregation._lock for aggregation in series.source.aggregations(series.attributes) or ()]


def test_series_of_the_same_first_label_share_a_lock() -> None:
    """For every reader and every metric the lock is that of the first label's value."""
    telemetry = Telemetry(ROWS, metric_readers=[InMemoryMetricReader()])
    a = [*locks_of(telemetry, TOOK, "a", "x"), *locks_of(telemetry, TOOK, "a", "y"), *locks_of(telemetry, CAME, "a")]
    b = locks_of(telemetry, CAME, "b")
    assert (len(a), len(set(a)), len(b), len(set(b))) == (6, 1, 2, 1)
    assert a[0] is not b[0]


def test_series_without_labels_has_a_lock_of_its_own() -> None:
    """Where there is no label, no other metric's series has the lock."""
    telemetry = Telemetry(ROWS)
    assert locks_of(telemetry, ALL)[0] not in [*locks_of(telemetry, CAME, "a"), *locks_of(telemetry, EVERY)]


def test_providers_share_no_lock() -> None:
    """Two telemetries in one process do not wait for each other."""
    first, second = Telemetry(ROWS), Telemetry(ROWS)
    assert locks_of(first, CAME, "a")[0] is not locks_of(second, CAME, "a")[0]


def test_lock_of_an_existing_aggregation_stays() -> None:
    """An aggregation that ``record()`` has made keeps its lock, which may be in use, and the series feeds it."""
    telemetry = Telemetry(ROWS)
    telemetry[CAME].source.instrument.add(1, {"name": "a"})
    made = locks_of(telemetry, CAME, "a")[0]
    assert made is not lock_for(telemetry[CAME].source._consumer, {"name": "a"})
    telemetry[CAME].labels("a").inc()
    assert above_zero(telemetry, "came") == {("came_total", (("name", "a"),)): 2.0}


@bounds_streams
@pytest.mark.parametrize("value", [["x", "y"], {"x": 1}])
def test_host_records_attributes_of_other_types(value: Any) -> None:
    """A host that records with the instrument of a histogram may use whatever attributes the SDK takes."""
    reader = InMemoryMetricReader()
    telemetry = Telemetry(ROWS, metric_readers=[reader])
    telemetry[TOOK].source.instrument.record(1, {"name": value})
    assert [value[0] for name, _, value, _ in points(reader) if name == "took"] == [1]


def test_locks_do_not_grow_with_the_series_of_deltas() -> None:
    """What a host records between collects leaves no locks behind."""
    reader = InMemoryMetricReader({Histogram: AggregationTemporality.DELTA})
    telemetry = Telemetry(ROWS, metric_readers=[reader])
    for number in range(50):
        telemetry[TOOK].source.instrument.record(1, {"name": str(number)})
        reader.collect()
    assert len(locks._locks.get(telemetry[TOOK].source._consumer, ())) == 0


@pytest.mark.parametrize("temporality", [{}, {Histogram: AggregationTemporality.DELTA}], ids=["cumulative", "delta"])
def test_first_measurement_while_its_thread_holds_the_lock(temporality: dict[type, AggregationTemporality]) -> None:
    """A signal handler that interrupts a series may record in a new one of the same first label: it is deferred."""
    telemetry = Telemetry(ROWS, metric_readers=[InMemoryMetricReader(temporality)])
    telemetry[TOOK].labels("a", "x").observe(1)
    recorded = threading.Event()

    def interrupt() -> None:
        with lock_for(telemetry[TOOK].source._consumer, {"name": "a"}):
            telemetry[LARGE].labels("a").observe(2)
        recorded.set()

    threading.Thread(target=interrupt, daemon=True).start()
    assert recorded.wait(60), "the thread hangs"
    telemetry[TOOK].labels("b", "x").observe(1)
    assert above_zero(telemetry, "large")["large_bytes_sum", (("name", "a"),)] == 2.0


@bounds_streams
def test_series_over_the_limit_of_the_sdk_is_its_overflow_series() -> None:
    """Where the SDK has no room for a series, its own overflow series is found, as ``record()`` finds it."""
    reader = InMemoryMetricReader()
    telemetry = Telemetry(ROWS, metric_readers=[reader])
    telemetry[CAME].labels("a").inc()
    for storage in telemetry[CAME].source._consumer._reader_storages.values():
        for match in storage._instrument_view_instrument_matches[telemetry[CAME].source.instrument]:
            match._cardinality_limit = 1
    telemetry[CAME].labels("b").inc(3)
    assert ("came", (("otel.metric.overflow", True),), 3, ()) in points(reader)


def test_locks_go_with_their_provider() -> None:
    """A provider that is gone leaves no locks behind."""
    gc.collect()
    before = len(locks._locks)
    telemetry = Telemetry(ROWS)
    telemetry[CAME].labels("a").inc()
    assert len(locks._locks) == before + 1
    telemetry.shutdown()
    del telemetry
    gc.collect()
    assert len(locks._locks) == before


def test_lock_that_is_held_at_a_fork_is_free_in_the_child() -> None:
    """The thread that held a lock does not exist in the child, which counts for itself."""
    telemetry = Telemetry(ROWS)
    came = telemetry[CAME].labels("a")
    came.inc()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locks_of(telemetry, CAME, "a")[0]:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()

    def child() -> object:
        came.inc(5)
        return list(above_zero(telemetry, "came").values())

    try:
        assert in_child(child) == "[5]"
    finally:
        done.set()
        holder.join()
