"""The protobuf messages of each kind of metric, as generated classes and as Prometheus read them."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import PrometheusReader, protobuf
from telemetry.exposition.encoding import Style
from telemetry.exposition.families import Families, NamingConfig
from telemetry.exposition.negotiation import Format
from telemetry.exposition.render import render
from telemetry.metric import telemetry_metrics
from telemetry.metricdata.exponential import upper_bound
from telemetry.metricdata.stream import ExemplarPoint, Exemplars, ExponentialState, Snapshot, Stream, StreamKind
from tests.helpers.client_model import PROTOBUF, buckets, client_model, decode, nanoseconds, samples, text
from tests.helpers.generated_metrics import Recording, bounds, build, expected, recordings
from tests.helpers.providers import OPENMETRICS, provider, span
from tests.helpers.sdk_versions import drops_non_finite
from tests.helpers.streams import START, stream

COUNTER, GAUGE, HISTOGRAM, EXPONENTIAL = StreamKind
TIME = 1_520_879_607_000_000_001
STATE = ExponentialState(
    scale=3, sum=12.5, zero_count=2, positive_offset=-3, positive=[1, 0, 0, 0, 2, 3], negative_offset=4, negative=[1]
)
FIELDS = {
    "MetricFamily": {"name": 1, "help": 2, "type": 3, "metric": 4, "unit": 5},
    "Metric": {"label": 1, "gauge": 2, "counter": 3, "summary": 4, "untyped": 5, "timestamp_ms": 6, "histogram": 7},
    "LabelPair": {"name": 1, "value": 2},
    "Gauge": {"value": 1},
    "Untyped": {"value": 1},
    "Counter": {"value": 1, "exemplar": 2, "created_timestamp": 3},
    "Quantile": {"quantile": 1, "value": 2},
    "Summary": {"sample_count": 1, "sample_sum": 2, "quantile": 3, "created_timestamp": 4},
    "Histogram": {
        "sample_count": 1,
        "sample_sum": 2,
        "bucket": 3,
        "sample_count_float": 4,
        "schema": 5,
        "zero_threshold": 6,
        "zero_count": 7,
        "zero_count_float": 8,
        "negative_span": 9,
        "negative_delta": 10,
        "negative_count": 11,
        "positive_span": 12,
        "positive_delta": 13,
        "positive_count": 14,
        "created_timestamp": 15,
        "exemplars": 16,
    },
    "Bucket": {"cumulative_count": 1, "upper_bound": 2, "exemplar": 3, "cumulative_count_float": 4},
    "BucketSpan": {"offset": 1, "length": 2},
    "Exemplar": {"label": 1, "value": 2, "timestamp": 3},
}


def exemplar(value: float, time: int = TIME, **attributes: Any) -> ExemplarPoint:
    """Returns an exemplar of trace 5 and span 7."""
    return ExemplarPoint(value, time, 5, 7, attributes or None)


def new_families(**naming: Any) -> Families:
    """Returns families without scope labels and target."""
    return Families(NamingConfig(**{"scope_labels": False, "target_info": False, **naming}), Diagnostics(None))


def body(*streams: Stream, names: Sequence[str] = (), exemplars: bool = True, **naming: Any) -> bytes:
    """Returns the streams' body."""
    style = Style(Format.PROTOBUF, exemplars=exemplars, names=frozenset(names))
    return b"".join(render(new_families(**naming), Snapshot(Resource({"service.name": "x"}), streams), style))


def only(*streams: Stream, **options: Any) -> Any:
    """Returns the only metric of the only family."""
    [family] = decode(body(*streams, **options))
    [metric] = family.metric
    return metric


def test_field_numbers() -> None:
    """The published model has the numbers that the encoder writes."""
    messages = client_model().DESCRIPTOR.message_types_by_name
    assert {name: {field.name: field.number for field in each.fields} for name, each in messages.items()} == FIELDS
    assert dict(client_model().MetricType.items()) == {
        "COUNTER": 0,
        "GAUGE": 1,
        "SUMMARY": 2,
        "UNTYPED": 3,
        "HISTOGRAM": 4,
        "GAUGE_HISTOGRAM": 5,
    }


def test_counter_bytes() -> None:
    """A counter is its length, name, help, type and unit, then each series with value, start and labels."""
    counter = stream("a.time", COUNTER, 2, unit="s", text="Time", attributes=[{"agent": "navi"}], starts=[1_000_000_002])
    assert body(counter) == (
        b"\x49"
        b"\x0a\x14a_time_seconds_total\x12\x04Time\x18\x00\x2a\x07seconds"
        b"\x22\x20"
        b"\x1a\x0f\x09\x00\x00\x00\x00\x00\x00\x00\x40\x1a\x04\x08\x01\x10\x02"
        b"\x0a\x0d\x0a\x05agent\x12\x04navi"
    )


def test_counter() -> None:
    """A counter's name ends in ``_total``; its exemplar and start are exact to the nanosecond."""
    counter = stream("a", COUNTER, 2.5, exemplars={0: [exemplar(1, key="v" * 200)]})
    metric = only(counter)
    assert metric.counter.value == 2.5
    assert nanoseconds(metric.counter.created_timestamp) == START
    mark = metric.counter.exemplar
    ids = {"trace_id": f"{5:032x}", "span_id": f"{7:016x}"}
    assert {pair.name: pair.value for pair in mark.label} == {**ids, "key": "v" * 200}
    assert (mark.value, nanoseconds(mark.timestamp)) == (1, TIME)
    assert decode(body(counter))[0].name == "a_total"


def test_gauge() -> None:
    """A gauge has neither a start nor an exemplar."""
    [family] = decode(body(stream("u", GAUGE, -1, exemplars={0: [exemplar(1)]})))
    assert text(body(stream("u", GAUGE, -1))) == 'name: "u"\ntype: GAUGE\nmetric {\n  gauge {\n    value: -1.0\n  }\n}\n'
    assert str(family.metric[0]) == "gauge {\n  value: -1\n}\n"


@given(st.integers(0, 2**64 - 1) | st.integers(0, 64).map(lambda bit: 2**bit % 2**64))
def test_times(number: int) -> None:
    """Every number of nanoseconds up to the year 2554 comes back."""
    mark = only(stream("a", COUNTER, 1, exemplars={0: [exemplar(1, number)]}, starts=[number])).counter
    assert (nanoseconds(mark.exemplar.timestamp), nanoseconds(mark.created_timestamp)) == (number, number)


def test_info() -> None:
    """An info is a gauge of value 1 whose name ends in ``_info``."""
    info = stream("agentos", GAUGE, 7, attributes=[{"version": "1"}])
    [family] = decode(body(info, info=["agentos"]))
    assert (family.name, family.type, family.unit, family.metric[0].gauge.value) == ("agentos_info", 1, "", 1)


def test_target() -> None:
    """The resource is the gauge ``target_info``."""
    [family] = decode(body(target_info=True))
    assert (family.name, family.help, family.metric[0].gauge.value) == ("target_info", "Target metadata", 1)
    assert [(pair.name, pair.value) for pair in family.metric[0].label] == [("service_name", "x")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *[(True, 1.0), (2**53 + 1, float(2**53)), (10**400, math.inf), (-(10**400), -math.inf)],
        *[(math.inf, math.inf), (-math.inf, -math.inf), (5e-324, 5e-324), (-0.0, -0.0)],
    ],
)
def test_values(value: float, shown: float) -> None:
    """Every value is a double; integers larger than every float are infinite."""
    found = only(stream("u", GAUGE, value)).gauge.value
    assert (found, math.copysign(1, found)) == (shown, math.copysign(1, shown))


def test_nan() -> None:
    """NaN stays NaN."""
    assert math.isnan(only(stream("u", GAUGE, math.nan)).gauge.value)


def test_classic_bytes() -> None:
    """A classic histogram has count, sum and cumulative buckets without ``+Inf``; its counts are equally wide."""
    histogram = stream("h", HISTOGRAM, ([1, 0, 127], 2.0), bounds=(1.0, 2.5), starts=[None])
    assert body(histogram) == (
        b"\x31\x0a\x01h\x18\x04\x22\x2a\x3a\x28"
        b"\x08\x80\x01\x11\x00\x00\x00\x00\x00\x00\x00\x40"
        b"\x1a\x0c\x08\x81\x00\x11\x00\x00\x00\x00\x00\x00\xf0\x3f"
        b"\x1a\x0c\x08\x81\x00\x11\x00\x00\x00\x00\x00\x00\x04\x40"
    )


def test_classic_histogram() -> None:
    """Counts are cumulative, also those of series with other numbers in the same body."""
    histogram = stream("h", HISTOGRAM, ([1, 0, 127], 2.5), ([0, 3, 2**40], 1e9), ([0, 0, 0], 0), bounds=(1.0, 2.5), unit="s")
    [family] = decode(body(histogram))
    assert (family.name, family.type, family.unit) == ("h_seconds", 4, "seconds")
    found = [metric.histogram for metric in family.metric]
    assert [[(b.upper_bound, b.cumulative_count) for b in each.bucket] for each in found] == [
        *([(1.0, 1), (2.5, 1)], [(1.0, 0), (2.5, 3)], [(1.0, 0), (2.5, 0)])
    ]
    assert [(each.sample_count, each.sample_sum) for each in found] == [(128, 2.5), (3 + 2**40, 1e9), (0, 0)]
    assert [nanoseconds(each.created_timestamp) for each in found] == [START] * 3
    assert not found[0].HasField("schema")


@pytest.mark.parametrize("count", [0, 127, 128, 2**14, 2**35 - 1, 2**56 - 1, 2**56, 2**63, 2**64 - 1, 2**64, 2**80])
def test_counts(count: int) -> None:
    """Counts are exact up to the largest 64-bit number, and stay there beyond it."""
    histogram = only(stream("h", HISTOGRAM, ([count, 0], 1.0), bounds=(1.0,))).histogram
    assert (histogram.sample_count, histogram.bucket[0].cumulative_count) == (min(count, 2**64 - 1),) * 2


def test_no_bounds() -> None:
    """A histogram without bounds has count and sum."""
    histogram = only(stream("h", HISTOGRAM, ([4], 2.5))).histogram
    assert (histogram.sample_count, histogram.sample_sum, len(histogram.bucket)) == (4, 2.5, 0)


def test_negative_sum() -> None:
    """The sum is always there: Prometheus would store 0 for a missing one."""
    histogram = only(stream("h", HISTOGRAM, ([4, 0], -2.5), bounds=(-1.0,))).histogram
    assert histogram.sample_sum == -2.5


def test_classic_exemplars() -> None:
    """An exemplar stands in its bucket; ``+Inf`` is a bucket only where it has one."""
    marks: Exemplars = {0: [exemplar(0.5), None], 1: [None, exemplar(7)]}
    both = stream("h", HISTOGRAM, ([1, 2], 3.0), ([1, 2], 3.0), ([1, 2], 3.0), bounds=(1.0,), exemplars=dict(marks))
    [family] = decode(body(both))
    found = [
        [(b.upper_bound, b.cumulative_count, b.HasField("exemplar")) for b in metric.histogram.bucket]
        for metric in family.metric
    ]
    assert found == [[(1.0, 1, True)], [(1.0, 1, False), (math.inf, 3, True)], [(1.0, 1, False)]]
    assert nanoseconds(family.metric[0].histogram.bucket[0].exemplar.timestamp) == TIME


def test_no_exemplars() -> None:
    """Without the option there are none."""
    counter = stream("a", COUNTER, 2.5, exemplars={0: [exemplar(1)]})
    assert not only(counter, exemplars=False).counter.HasField("exemplar")


def test_native_histogram() -> None:
    """A native histogram has schema, zero bucket, spans and the differences of its counts, and no classic buckets."""
    histogram = only(stream("n", EXPONENTIAL, STATE)).histogram
    assert (histogram.schema, histogram.zero_threshold, histogram.zero_count) == (3, 1e-128, 2)
    assert (histogram.sample_count, histogram.sample_sum, len(histogram.bucket)) == (9, 12.5, 0)
    assert [(span.offset, span.length) for span in histogram.positive_span] == [(-2, 1), (3, 2)]
    assert list(histogram.positive_delta) == [1, 1, 1]
    assert buckets(histogram.positive_span, histogram.positive_delta) == {-2: 1, 2: 2, 3: 3}
    assert buckets(histogram.negative_span, histogram.negative_delta) == {5: 1}
    assert nanoseconds(histogram.created_timestamp) == START


def test_falling_counts() -> None:
    """A difference may be negative."""
    state = STATE._replace(positive=[2**60, 1], negative=[])
    assert list(only(stream("n", EXPONENTIAL, state)).histogram.positive_delta) == [2**60, 1 - 2**60]


def test_empty_native_histogram() -> None:
    """Without buckets there is one empty span, which tells it from a classic histogram."""
    state = STATE._replace(zero_count=0, positive=[], negative=[], sum=0)
    histogram = only(stream("n", EXPONENTIAL, state)).histogram
    assert [(span.offset, span.length) for span in histogram.positive_span] == [(0, 0)]
    assert (len(histogram.positive_delta), len(histogram.negative_span), histogram.sample_count) == (0, 0, 0)


def test_native_exemplars() -> None:
    """All exemplars of a native histogram are in one list, by time."""
    marks = [exemplar(2, TIME + 9), None, exemplar(1, TIME), exemplar(3, TIME + 5)]
    histogram = only(stream("n", EXPONENTIAL, STATE, exemplars={0: marks})).histogram
    assert [(mark.value, nanoseconds(mark.timestamp) - TIME) for mark in histogram.exemplars] == [(1, 0), (3, 5), (2, 9)]


@pytest.mark.parametrize("kind", [EXPONENTIAL, HISTOGRAM], ids=["native", "both"])
def test_each_native_histogram_with_exemplars_has_its_message(kind: StreamKind) -> None:
    """Where Prometheus' parser reads the body, native histograms with exemplars stand alone, and the others together before."""
    state = STATE if kind is EXPONENTIAL else ([1, 2], 12.5, STATE)
    bounds = () if kind is EXPONENTIAL else (1.0,)
    marks = {1: [None, exemplar(2)], 2: [None, None], 3: [exemplar(1), None]}
    native = stream("n", kind, state, state, state, state, bounds=bounds, native=kind is HISTOGRAM, exemplars=marks)
    style = Style(Format.PROTOBUF, split=True)
    found = decode(b"".join(render(new_families(), Snapshot(None, [native]), style)), split=True)
    assert [[metric.label[0].value for metric in family.metric] for family in found] == [["0", "2"], ["1"], ["3"]]
    assert {(family.name, family.type) for family in found} == {("n", 4)}


@pytest.mark.parametrize(("accept", "messages"), [(PROTOBUF, 1), (f"{PROTOBUF};q=0.7,{OPENMETRICS};q=0.6", 2)])
def test_only_clients_that_name_openmetrics_get_split_families(accept: str, messages: int) -> None:
    """A client that names protobuf alone gets each family once."""
    view = View(instrument_name="n", aggregation=ExponentialBucketHistogramAggregation())
    meters, reader = provider(views=[view])
    histogram = meters.get_meter("m").create_histogram("n")
    with trace.use_span(span(1)):
        for agent in ("navi", "herald"):
            histogram.record(2, {"agent": agent})
    assert len(decode(reader.expose(accept).body, split=True)) == messages


def test_a_scale_without_schema() -> None:
    """An exponential histogram below schema -4 has classic buckets, with their exemplars."""
    state = STATE._replace(scale=-5, positive_offset=0, positive=[3], negative=[], zero_count=0)
    histogram = only(stream("n", EXPONENTIAL, state, exemplars={0: [exemplar(2)]})).histogram
    assert [(b.upper_bound, b.cumulative_count, b.HasField("exemplar")) for b in histogram.bucket] == [
        *((1.0, 0, False), (2.0**32, 3, True))
    ]
    assert (histogram.sample_count, len(histogram.positive_span), len(histogram.exemplars)) == (3, 0, 0)


def test_both_forms() -> None:
    """A histogram in both forms has its exemplars in the classic buckets, where Prometheus finds them for both."""
    state = STATE._replace(positive_offset=0, positive=[2], negative=[], zero_count=1)
    both = stream("h", HISTOGRAM, ([1, 2], 12.5, state), bounds=(1.0,), native=True, exemplars={0: [None, exemplar(2)]})
    histogram = only(both).histogram
    assert [(b.upper_bound, b.cumulative_count, b.HasField("exemplar")) for b in histogram.bucket] == [
        *((1.0, 1, False), (math.inf, 3, True))
    ]
    assert (histogram.schema, histogram.zero_count, histogram.sample_count, len(histogram.exemplars)) == (3, 1, 3, 0)
    assert buckets(histogram.positive_span, histogram.positive_delta) == {1: 2}


def test_forms_that_were_read_apart() -> None:
    """Where the two forms have another count, it is that of the native buckets: Prometheus adds them up."""
    state = STATE._replace(positive_offset=0, positive=[5], negative=[], zero_count=0)
    both = stream("h", HISTOGRAM, ([1, 2], 12.5, state), ([1, 2], 12.5), bounds=(1.0,), native=True)
    [family] = decode(body(both))
    assert [metric.histogram.sample_count for metric in family.metric] == [5, 3]


def test_names() -> None:
    """A family is shown whole where one of its samples, or its native histogram, is asked for."""
    streams = [stream("h", HISTOGRAM, ([1, 0], 2.0), bounds=(1.0,)), stream("a", COUNTER, 1), stream("b", GAUGE, 1)]
    found = {
        name: [family.name for family in decode(body(*streams, names=[name]))]
        for name in ("h", "h_bucket", "a", "a_total", "b", "c")
    }
    assert found == {"h": ["h"], "h_bucket": ["h"], "a": [], "a_total": ["a_total"], "b": ["b"], "c": []}


def test_texts() -> None:
    """What UTF-8 cannot encode is replaced, in help, labels and exemplars; other text stays as it is."""
    counter = stream(
        "a", COUNTER, 1, text='é\ud800\0"\\\n', attributes=[{"k": '\udfff"\\\n'}], exemplars={0: [exemplar(1, x="\ud800")]}
    )
    [family] = decode(body(counter))
    assert family.help == 'é??"\\\n'
    assert family.metric[0].label[0].value == '?"\\\n'
    assert [pair.value for pair in family.metric[0].counter.exemplar.label][2] == "?"


def test_empty_families() -> None:
    """A family whose series have no state has no message."""
    assert body(stream("a", COUNTER, None), stream("h", HISTOGRAM, None, None), stream("n", EXPONENTIAL, None)) == b""


def test_starts_that_move() -> None:
    """A start that moves back, because an older worker's state was found, is shown."""
    families, counter = new_families(), stream("a", COUNTER, 1, 2)
    for starts in ([START, START], [START, 5], [None, 5]):
        counter.starts[:] = starts
        [family] = decode(b"".join(render(families, Snapshot(None, [counter]), Style(Format.PROTOBUF))))
        found = [each.counter for each in family.metric]
        assert [nanoseconds(c.created_timestamp) if c.HasField("created_timestamp") else None for c in found] == starts


@dataclass(slots=True, eq=False)
class Moving(Stream):
    """A stream that has other states and exemplars at each reading; the last one repeats."""

    readings: Sequence[tuple[Any, Any]] = ()
    read: int = 0

    def slice(self, start: int, stop: int, *, exemplars: bool, native: bool = False) -> tuple[Sequence[Any], Exemplars]:
        """Returns the next reading."""
        state, marks = self.readings[min(self.read, len(self.readings) - 1)]
        self.read += 1
        return [state] * (stop - start), dict.fromkeys(range(start, stop), marks) if exemplars and marks else {}


def moving(kind: StreamKind, held: Any, measured: Any, encoded: Any, marks: Any = None, bounds: Sequence[float] = ()) -> Moving:
    """Returns a stream of 300 series: the state of the first 96, and that of the others when measured and when encoded.

    The exemplars are there when the others are encoded, and from then on.
    """
    sets = [{"i": f"{i:0100}"} for i in range(300)]
    readings = [(held, None), *[(measured, None)] * 3, (encoded, marks)]
    return Moving(InstrumentationScope("m"), "x", "", "", kind, bounds, sets, [START] * 300, [], {}, False, readings)


@pytest.fixture
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures all series but the first 96 before they are encoded."""
    monkeypatch.setattr(protobuf, "HELD", 1)


def test_large_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that is not held whole has the same samples as one that is."""
    marks: Any = {i: [None, exemplar(7), None] for i in range(0, 900, 7)}
    streams = [
        stream("a", COUNTER, *range(900), exemplars={i: [exemplar(1)] for i in range(500, 900)}),
        stream("g", GAUGE, *[None if i % 3 else i for i in range(900)]),
        stream("h", HISTOGRAM, *[([i, 3**i if i < 30 else 1, 5], i) for i in range(900)], bounds=(1.0, 2.0), exemplars=marks),
        stream("p", HISTOGRAM, *[([i, 1, 5], i) for i in range(900)], bounds=(1.0, 2.0)),
        stream("b", HISTOGRAM, *[([i, 2**60, 5], i) for i in range(300)], bounds=(1.0, 2.0), exemplars={200: marks[7]}),
        stream("n", EXPONENTIAL, *[STATE] * 900),
    ]
    whole = decode(body(*streams))
    families = new_families()
    monkeypatch.setattr(protobuf, "HELD", 1)
    # The first scrape learns that there are exemplars behind the part that is held.
    bodies = [b"".join(render(families, Snapshot(None, streams), Style(Format.PROTOBUF))) for _ in range(2)]
    assert samples(decode(bodies[0])) == samples(whole)
    for family, other in zip(decode(bodies[1]), whole, strict=True):
        assert list(family.metric) == list(other.metric)


@pytest.mark.usefixtures("nothing_held")
def test_counts_that_grow() -> None:
    """Counts that grow while a body is made are shown as they are when they are encoded."""
    histogram = moving(HISTOGRAM, ([1, 1], 1.0), ([1, 1], 1.0), ([40, 50], 9.0), bounds=(1.0,))
    found = samples(decode(body(histogram)))
    assert sorted({v for (name, _), v in found.items() if name == "x_count"}) == [2.0, 90.0]
    assert len([name for name, _ in found if name == "x_sum"]) == 300


@pytest.mark.usefixtures("nothing_held")
def test_counts_that_outgrow_their_room() -> None:
    """A count that grows beyond every expectation while a body is made stays the largest that fits; the body is whole."""
    histogram = moving(HISTOGRAM, ([1, 1], 1.0), ([1, 1], 1.0), ([2**40, 1], 9.0), bounds=(1.0,))
    found = samples(decode(body(histogram)))
    assert sorted({value for (name, _), value in found.items() if name == "x_count"}) == [2.0, 127.0]


@pytest.mark.usefixtures("nothing_held")
@pytest.mark.parametrize("kind", [COUNTER, GAUGE])
def test_series_that_go(kind: StreamKind) -> None:
    """Series that have no state any more when they are encoded are left out; the message has its length."""
    found = samples(decode(body(moving(kind, 1, 1, None))))
    assert len(found) == 96


@pytest.mark.usefixtures("nothing_held")
def test_series_that_come() -> None:
    """Series that get a state while a body is made are shown as far as there is room."""
    assert len(samples(decode(body(moving(GAUGE, 1, None, 1))))) == 96 + 34


@pytest.mark.usefixtures("nothing_held")
def test_exemplars_that_come() -> None:
    """Exemplars that come while a body is made, and find no room in it, are shown by the next scrape."""
    counter = moving(COUNTER, 1, 1, 1, [exemplar(1, key="v" * 500)])
    families = new_families()
    shown = []
    for _ in range(2):
        [family] = decode(b"".join(render(families, Snapshot(None, [counter]), Style(Format.PROTOBUF))))
        shown.append(sum(each.counter.HasField("exemplar") for each in family.metric))
        assert len(family.metric) == 300
    assert shown == [0, 300]


@pytest.mark.usefixtures("nothing_held")
@pytest.mark.parametrize("length", range(2, 40))
def test_filling(length: int) -> None:
    """Any length from two bytes on is filled by the family's type."""
    filling = b"".join(protobuf._filling(4, length))
    assert len(filling) == length
    assert client_model().MetricFamily.FromString(filling).type == 4


def test_memory() -> None:
    """A body of 30,000 series takes less than a tenth of its size."""
    values = [([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 2.5)] * 30_000
    histogram = stream("h", HISTOGRAM, *values, bounds=tuple(map(float, range(9))))
    families = new_families()
    snapshot, style = Snapshot(None, [histogram]), Style(Format.PROTOBUF)
    size = sum(map(len, render(families, snapshot, style)))  # the constant parts stay
    tracemalloc.start()
    for _ in render(families, snapshot, style):
        pass
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < size / 10


def shown_by(state: list[Recording], edges: list[float], **options: Any) -> tuple[list[Any], PrometheusReader, Diagnostics]:
    """Returns the families of a scrape of the recordings, and their reader."""
    diagnostics = Diagnostics()
    off: Any = {"registry": CollectorRegistry(), "scope_info_enabled": False, "disable_target_info": True}
    reader = PrometheusReader(diagnostics=diagnostics, **off, **options)
    build(state, edges, [reader])
    return decode(reader.expose(PROTOBUF).body), reader, diagnostics


@drops_non_finite
@given(st.lists(recordings(wild=True).filter(lambda each: each.kind != "exponential"), max_size=5), bounds)
def test_values_come_back(state: list[Recording], edges: list[float]) -> None:
    """The samples are the SDK's; where names clash, some of them and no others."""
    families, reader, diagnostics = shown_by(state, edges)
    found = samples(families)
    wanted: dict[Any, list[Any]] = {}
    for _, expected_samples, _ in expected(reader.state(), all_sums=True):
        for key, value in expected_samples.items():
            wanted.setdefault(key, []).append(value)
    assert all(value in wanted[key] for key, value in found.items())
    if not diagnostics.values(telemetry_metrics.CLASHES.name):
        assert found.keys() == wanted.keys()


@drops_non_finite
@given(recordings(wild=True).filter(lambda each: each.kind in ("counter", "histogram", "exponential")), bounds)
def test_starts_and_exemplars_come_back(recording: Recording, edges: list[float]) -> None:
    """Starts and exemplars are the SDK's, exact to the nanosecond."""
    families, reader, diagnostics = shown_by([recording], edges)
    points = list(_points(reader))
    if diagnostics.values(telemetry_metrics.CLASHES.name):
        return
    metrics = [metric for family in families for metric in family.metric]
    values = [metric.counter if metric.HasField("counter") else metric.histogram for metric in metrics]
    assert [nanoseconds(value.created_timestamp) for value in values] == [point.start_time_unix_nano for point in points]
    marks = [
        (nanoseconds(mark.timestamp), mark.value, {pair.name: pair.value for pair in mark.label}.get("trace_id"))
        for value in values
        for mark in _exemplars(value)
    ]
    if recording.kind == "histogram":  # of other kinds the SDK has several exemplars, and gives them once
        assert sorted(marks, key=str) == sorted(
            (
                (mark.time_unix_nano, float(mark.value), f"{mark.trace_id:032x}" if mark.trace_id else None)
                for point in points
                for mark in point.exemplars
            ),
            key=str,
        )


@drops_non_finite
@given(recordings(wild=True).filter(lambda each: each.kind == "exponential"))
def test_exponential_histograms_come_back(recording: Recording) -> None:
    """Each bucket of the SDK's, at schema 8 at the most, is a bucket of the native histogram, and its count the same."""
    families, reader, diagnostics = shown_by([recording], [])
    if diagnostics.values(telemetry_metrics.CLASHES.name):
        return
    histograms = [metric.histogram for family in families for metric in family.metric]
    for histogram, point in zip(histograms, _points(reader), strict=True):
        assert (histogram.sample_count, histogram.sample_sum) == (point.count, float(point.sum))  # a sum is a double
        if point.scale < -4:
            assert not histogram.HasField("schema")
            continue
        if point.count == point.zero_count:  # without buckets the SDK has another scale at each collect
            assert histogram.zero_count == point.count
            continue
        assert histogram.schema == min(point.scale, 8)
        wanted: dict[int, int] = {}
        for index, count in enumerate(point.positive.bucket_counts, point.positive.offset):
            upper = (index >> (point.scale - histogram.schema)) + 1
            if count and upper_bound(upper - 1, histogram.schema) > histogram.zero_threshold:
                wanted[upper] = wanted.get(upper, 0) + count
        assert _side(histogram, "positive") == wanted
        assert histogram.zero_count == point.count - sum(wanted.values())


def _side(histogram: Any, side: str) -> dict[int, int]:
    return buckets(getattr(histogram, f"{side}_span"), getattr(histogram, f"{side}_delta"))


def _exemplars(value: Any) -> list[Any]:
    if not hasattr(value, "bucket"):
        return [value.exemplar] if value.HasField("exemplar") else []
    return [*value.exemplars, *(bucket.exemplar for bucket in value.bucket if bucket.HasField("exemplar"))]


def _points(reader: PrometheusReader) -> Iterator[Any]:
    data = reader.state()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from metric.data.data_points
