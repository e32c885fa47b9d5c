"""The series of one event are recorded together as they would be one after the other."""

from __future__ import annotations

import ast
import inspect
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricReader
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.trace import SpanContext

from telemetry import Telemetry
from telemetry._sdk.event import _feed_plain, _feed_twofold
from telemetry._sdk.reservoir import pack_span_reference, reservoir_for
from telemetry.instruments.event import BoundEvent
from telemetry.instruments.views import views
from telemetry.metric import Catalogue, Native, closed_label, counter, histogram, open_label, telemetry_metrics
from telemetry.pipeline.transfer import transfer
from tests.helpers.fork import in_child
from tests.helpers.samples import above_zero, points, read
from tests.helpers.sdk_versions import adds_readers_later, switches_meters

NAME = open_label("name", "name", limit=2)
STATUS = closed_label("status", "how it ended", "success", "error")
TOOK = histogram("took", "s", "Took", NAME, STATUS, bounds=(0.1, 1, 10))
CAME = counter("came", "", "Came", NAME, STATUS)
LARGE = histogram("large", "By", "Large", NAME, bounds=(100, 10_000))
ROWS = Catalogue([TOOK, CAME, LARGE, *telemetry_metrics.TELEMETRY])
DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
KEPT: dict[str, Any] = {"exemplar_reservoir_factory": reservoir_for(True)}
REFERENCE = pack_span_reference(1, SpanContext(5, 7, False))

Record = Callable[[BoundEvent, Any, Any, bytes | None], None]


def event_of(telemetry: Telemetry, name: str = "a", status: str = "success") -> BoundEvent:
    """Returns the series of one event."""
    took, came = (telemetry[metric].labels(name, status) for metric in (TOOK, CAME))
    return BoundEvent(took, came, telemetry[LARGE].labels(name))


def together(event: BoundEvent, duration: Any, size: Any, reference: bytes | None) -> None:
    event.record(duration, size, reference)


def apart(event: BoundEvent, duration: Any, size: Any, reference: bytes | None) -> None:
    """Records each measurement by itself."""
    event.duration.record_with_exemplar(duration, reference)
    event.count.record_with_exemplar(1, reference)
    if size is not None and event.size is not None:
        event.size.record_with_exemplar(size, reference)


def is_fed_together(event: BoundEvent) -> bool:
    """Returns whether the next plain measurements are fed together."""
    return event._together[0] is not None


SETTINGS: dict[str, tuple[Callable[[], list[MetricReader]], dict[str, Any]]] = {
    "one reader": (list, {}),
    "two readers": (lambda: [InMemoryMetricReader()], {}),
    "native buckets": (lambda: [InMemoryMetricReader()], {"native_histograms": True}),
    "native buckets of few": (list, {"native_histograms": Native(max_size=3)}),
    "deltas": (lambda: [InMemoryMetricReader(DELTA)], {}),
}


class Side:
    """A telemetry with its events, and a way to record them."""

    def __init__(self, setting: str, record: Record) -> None:
        make, options = SETTINGS[setting]
        self.readers = make()
        self.telemetry = Telemetry(ROWS, metric_readers=self.readers, **options)
        self._record = record
        self.events: dict[tuple[str, str], BoundEvent] = {}

    def record(self, name: str, status: str, duration: Any, size: Any, reference: bytes | None) -> None:
        event = self.events.get((name, status))
        if event is None:
            event = self.events[name, status] = event_of(self.telemetry, name, status)
        self._record(event, duration, size, reference)

    def state(self) -> tuple[Any, ...]:
        """Returns what all readers show."""
        body = self.telemetry.reader.expose("application/openmetrics-text;version=1.0.0").body.decode()
        lines = [line for line in body.splitlines() if not line.startswith("#") and "_created" not in line.split("{")[0]]
        return lines, [points(reader) for reader in self.readers]  # type: ignore[arg-type]  # all are in memory


DURATIONS = (
    st.floats(0, 100) | st.integers(0, 2**64) | st.sampled_from([0, 0.1, 1, -1, nan, inf, -0.0, 2.0**63, "x", None, True])
)
SIZES = st.none() | st.integers(0, 10**6) | st.floats() | st.sampled_from([Decimal(7), Fraction(1, 3), 10**400, b"x"])
EVENT = st.tuples(
    st.sampled_from(["a", "b", "over", "over too"]), st.sampled_from(["success", "error", "wrong"]), DURATIONS, SIZES
)
STEPS = st.lists(st.tuples(EVENT, st.sampled_from([None, REFERENCE])) | st.just("collect"), max_size=12)


@pytest.mark.parametrize("setting", SETTINGS)
@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_events_equal_single_measurements(setting: str, steps: list[Any]) -> None:
    """Whatever is measured, by whatever readers, the values, exemplars and refusals are those of single measurements."""
    ours, theirs = Side(setting, together), Side(setting, apart)
    for step in [*steps, "collect"]:
        if step == "collect":
            assert ours.state() == theirs.state()
        else:
            for side in (ours, theirs):
                side.record(*step[0], step[1])


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting != "deltas"])
def test_what_is_fed_together(setting: str) -> None:
    """With cumulative readers the series are fed together from the second event on."""
    side = Side(setting, together)
    side.record("a", "success", 0.5, 7, None)
    assert is_fed_together(side.events["a", "success"])


VIEWS: dict[str, list[View]] = {
    "no View": [],
    "a second View": [*views(ROWS), View(instrument_name=TOOK.name, name="again")],
    "a View that drops": [*views(Catalogue([TOOK, CAME])), View(instrument_name=LARGE.name, aggregation=DropAggregation())],
    "no extremes": [
        View(instrument_name=metric.name, aggregation=ExplicitBucketHistogramAggregation(record_min_max=False), **KEPT)
        for metric in (TOOK, LARGE)
    ],
    "the SDK's exponential histogram": [
        *views(Catalogue([CAME, LARGE])),
        View(instrument_name=TOOK.name, aggregation=ExponentialBucketHistogramAggregation(), **KEPT),
    ],
    "native buckets alone": views(Catalogue([CAME, replace(TOOK, native=Native(), bounds=()), LARGE])),
    "fewer labels": [View(instrument_name=CAME.name, attribute_keys={"name"}, **KEPT), *views(Catalogue([TOOK, LARGE]))],
}


@pytest.mark.filterwarnings("ignore:.*conflicting")
@pytest.mark.parametrize("given_views", VIEWS)
def test_provider_with_views_of_its_own(given_views: str) -> None:
    """Each series records by itself where a host's Views make another aggregation of one of them."""
    states = []
    for record in (together, apart):
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], views=VIEWS[given_views], shutdown_on_exit=False)
        event = event_of(Telemetry(ROWS, meter_provider=provider))
        for duration in (0.5, 20, 0.5):
            record(event, duration, 7, None)
        assert not is_fed_together(event)
        states.append(points(reader))
    assert states[0] == states[1]
    assert states[0]


def test_event_without_a_size() -> None:
    """An event may have no series for a size; then a size that is given is ignored."""
    telemetry = Telemetry(ROWS)
    event = BoundEvent(telemetry[TOOK].labels("a", "success"), telemetry[CAME].labels("a", "success"))
    for size in (None, None, 7):
        event.record(0.5, size, REFERENCE)
    assert is_fed_together(event)
    assert {value for (name, _), value in read(telemetry).items() if name in ("took_seconds_count", "came_total")} == {3.0}


def test_each_event_over_the_limit_is_counted() -> None:
    """Series over their limit are fed together too, and each measurement is counted as one over the limit."""
    telemetry = Telemetry(ROWS)
    for name in ("a", "b", "c"):
        event = event_of(telemetry, name)
        for size in (7, 7, None):
            event.record(0.5, size, None)
        assert is_fed_together(event)
    found = above_zero(telemetry, "agentos_telemetry_overflow_total")
    assert {dict(labels)["metric"]: value for (_, labels), value in found.items()} == {
        "came_total": 3.0,
        "took_seconds": 3.0,
        "large_bytes": 2.0,
    }


@adds_readers_later
def test_reader_added_and_removed_later() -> None:
    """An event reaches a reader that is added later, until that reader is removed."""
    first, late = InMemoryMetricReader(), InMemoryMetricReader()
    provider = MeterProvider([first], views=views(ROWS), shutdown_on_exit=False)
    event = event_of(Telemetry(ROWS, meter_provider=provider))
    for _ in range(2):
        event.record(0.5, 7, None)
    provider.add_metric_reader(late)
    for _ in range(2):
        event.record(0.5, 7, None)
    assert is_fed_together(event)
    assert [point[2] for point in points(late)] == [2, (2, 14, (2, 0, 0), 7, 7), (2, 1.0, (0, 2, 0, 0), 0.5, 0.5)]
    provider.remove_metric_reader(late)
    for _ in range(2):
        event.record(0.5, 7, None)
    assert [point[2] for point in points(first)] == [6, (6, 42, (6, 0, 0), 7, 7), (6, 3.0, (0, 6, 0, 0), 0.5, 0.5)]


@switches_meters
def test_disabled_meter_records_nothing() -> None:
    """A meter that the SDK's configurator disables records nothing until it is enabled again."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], views=views(ROWS), shutdown_on_exit=False)
    event = event_of(Telemetry(ROWS, meter_provider=provider))
    enabled = type(provider._apply_meter_configurator(None))  # type: ignore[arg-type]  # only its type is wanted
    for is_enabled in (True, True, False, True):
        provider._set_meter_configurator(meter_configurator=lambda _, now=is_enabled: enabled(is_enabled=now))  # type: ignore[misc]
        event.record(0.5, 7, None)
    assert next(point[2] for point in points(reader)) == 3


@pytest.mark.parametrize("lacks", [[], [CAME], [TOOK], [LARGE]])
def test_event_follows_each_series_to_another_telemetry(lacks: list[Any]) -> None:
    """After a transfer each series records into the new telemetry that has its metric, and the others stay."""
    old = Telemetry(ROWS)
    new = Telemetry(Catalogue([metric for metric in ROWS if metric not in lacks]))
    event = event_of(old)
    for _ in range(2):
        event.record(0.5, 7, None)
    transfer(old, new)
    for _ in range(2):
        event.record(0.5, 7, None)
    assert is_fed_together(event) is not bool(lacks)
    for metric, sample in ((CAME, "came_total"), (TOOK, "took_seconds_count"), (LARGE, "large_bytes_count")):
        telemetry = old if metric in lacks else new
        assert [value for (name, _), value in above_zero(telemetry).items() if name == sample] == [4.0]


@pytest.mark.parametrize(
    ("more", "carried"), [({}, True), ({"other": "o"}, True), ({"status": "error"}, False), ({"name": None}, False)]
)
def test_span_that_carries_the_labels(more: dict[str, object], carried: bool) -> None:
    """A span carries the labels of an event where it carries those of its count, also once the count has others."""
    labels = {"name": "c", "status": "success"}
    old, new = Telemetry(ROWS), Telemetry(ROWS)
    event = event_of(old, "c")
    assert event.matches({**labels, **more}) == event.count.matches({**labels, **more}) == carried
    for name in ("a", "b"):
        event_of(new, name)
    transfer(old, new)
    event.record(0.5, 7, None)
    assert event.count.values == ("other", "success")
    assert not event.matches({**labels, **more})
    assert event.matches({"name": "other", "status": "success"})


def test_forked_child_counts_for_itself() -> None:
    """In a forked child the series start at 0 and are fed together again, whatever lock the parent held."""
    telemetry = Telemetry(ROWS)
    event = event_of(telemetry)
    event.record(0.5, 7, None)
    lock = event.count.source.aggregations(event.count.attributes)[0]._lock  # type: ignore[index]  # fed directly

    def child() -> object:
        for _ in range(3):
            event.record(0.5, 7, None)
        return is_fed_together(event), [v for (name, _), v in above_zero(telemetry).items() if name == "came_total"]

    with lock:
        assert in_child(child) == "(True, [3])"


def test_threads_lose_no_event() -> None:
    """Threads that record the same event, beside one that reads, lose nothing."""
    telemetry = Telemetry(ROWS, metric_readers=[reader := InMemoryMetricReader()])
    event = event_of(telemetry)
    begin = threading.Barrier(5)

    def work() -> None:
        begin.wait()
        for _ in range(2_000):
            event.record(0.5, 7, REFERENCE)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    begin.wait()
    for _ in range(20):
        points(reader)
    for thread in threads:
        thread.join()
    assert [v for (name, _), v in above_zero(telemetry).items() if name.endswith(("_count", "came_total"))] == [8000.0] * 3


@pytest.mark.parametrize("function", [_feed_plain, _feed_twofold])
def test_signal_handler_cannot_raise_between_two_series(function: Callable[..., object]) -> None:
    """From the first update under the lock on there is no call and no loop: only there CPython runs handlers."""
    tree = ast.parse(inspect.getsource(function))
    (turn,) = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
    changes = [
        any(isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store) for part in ast.walk(statement))
        for statement in turn.body
    ]
    updates = turn.body[changes.index(True) :]
    assert len(updates) > 5
    assert not [part for each in updates for part in ast.walk(each) if isinstance(part, ast.Call | ast.For | ast.While)]
