"""Native buckets: beside explicit ones from the same measurement, or alone, by every way of recording and reading."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import product
from math import log2
from sys import float_info
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from telemetry import PrometheusReader, Telemetry
from telemetry._sdk.fork import start_empty
from telemetry.instruments.views import views
from telemetry.metric import Catalogue, Native, histogram, open_label
from telemetry.metricdata.buckets import ExponentialBuckets
from telemetry.metricdata.stream import ExponentialState, Snapshot, StreamKind
from telemetry.pipeline.transfer import transfer
from tests.helpers.providers import span
from tests.helpers.samples import points, read

WHO = open_label("who", "who", limit=9)
BOTH = histogram("both", "s", "Both", WHO, bounds=(0.1, 1), native=Native())
ALONE = histogram("alone", "s", "Alone", WHO, native=Native(max_scale=5, zero_threshold=0.001))
CLASSIC = histogram("classic", "s", "Classic", WHO, bounds=(0.1, 1))
ROWS = Catalogue([BOTH, ALONE, CLASSIC])
VALUES = [0.0, 1e-9, 0.05, 0.1, 0.3, 0.3, 1, 7.5, 1e9]
DELTA: dict[type, AggregationTemporality] = {Histogram: AggregationTemporality.DELTA}

RECORDINGS: dict[str, Callable[[Any, float], object]] = {
    "handle": lambda instrument, value: instrument.labels("a").observe(value),
    "OpenTelemetry's words": lambda instrument, value: instrument.record(value, {"who": "a"}),
    "the SDK's instrument": lambda instrument, value: instrument.source.instrument.record(value, {"who": "a"}),
}


def states(telemetry: Telemetry, name: str) -> list[Any]:
    """Returns the states of a histogram's series, native buckets included, as an encoder reads them."""

    def read_stream(snapshot: Snapshot) -> list[Any]:
        (stream,) = [each for each in snapshot.streams if each.name == name]
        return list(stream.slice(0, len(stream.attributes), exemplars=False, native=True)[0])

    return telemetry.reader.read_local(read_stream)  # type: ignore[arg-type]  # of any result, not of bytes alone


def expected(values: list[float], native: Native) -> ExponentialState:
    """The native buckets of these measurements."""
    buckets = ExponentialBuckets(native.max_scale, native.max_size, native.zero_threshold)
    for value in values:
        buckets.add(value)
    return buckets.state(sum(values))


@pytest.mark.parametrize("recording", RECORDINGS)
def test_both_forms_count_each_measurement(way: str, recording: str) -> None:
    """A histogram with both forms has each measurement in either, whichever way it is recorded."""
    telemetry = Telemetry(ROWS)
    for value in VALUES:
        RECORDINGS[recording](telemetry[BOTH], value)
    assert states(telemetry, "both") == [([4, 3, 2], sum(VALUES), expected(VALUES, Native()))]


@pytest.mark.parametrize("recording", RECORDINGS)
def test_native_buckets_alone(way: str, recording: str) -> None:
    """A histogram without explicit bounds has exponential buckets, zeros up to its threshold among them."""
    telemetry = Telemetry(ROWS)
    for value in VALUES:
        RECORDINGS[recording](telemetry[ALONE], value)
    (state,) = states(telemetry, "alone")
    assert state == expected(VALUES, Native(5, 160, 0.001))
    assert (state.zero_count, state.zero_threshold) == (2, 0.001)


def test_encoders_that_ask_for_explicit_buckets_get_these() -> None:
    """Text formats show the same of a histogram with native buckets as of one without."""
    telemetry = Telemetry(ROWS)
    for value, metric in product(VALUES, (BOTH, CLASSIC)):
        telemetry[metric].labels("a").observe(value)
    shown = read(telemetry)
    both = {(name.removeprefix("both"), labels): value for (name, labels), value in shown.items() if name.startswith("both")}
    assert len(both) == 5
    for (name, labels), value in both.items():
        assert shown[f"classic{name}", labels] == value


def test_text_shows_how_far_the_zero_bucket_reaches() -> None:
    """The explicit form of native buckets ends the zeros at their threshold: 0.0005 is not counted as at most 0."""
    telemetry = Telemetry(ROWS)
    for value in (0, 0.0005, 2):
        telemetry[ALONE].labels("a").observe(value)
    shown = {dict(labels)["le"]: value for (name, labels), value in read(telemetry).items() if name == "alone_seconds_bucket"}
    assert shown == {"0.001": 2, "1.9571441241754002": 2, "2.0": 3, "+Inf": 3}


def test_refused_measurements_are_in_neither_form(way: str) -> None:
    """What an explicit histogram refuses is refused: negative numbers and those that are not finite."""
    telemetry = Telemetry(ROWS)
    for value in (-1.0, float("nan"), float("inf"), "text", 10**400):
        telemetry[BOTH].labels("a").observe(value)  # type: ignore[arg-type]  # what callers may do
        telemetry[ALONE].labels("a").observe(value)  # type: ignore[arg-type]  # likewise
    telemetry[BOTH].labels("a").observe(2)
    telemetry[ALONE].labels("a").observe(2)
    assert states(telemetry, "both") == [([0, 0, 1], 2, expected([2], Native()))]
    assert states(telemetry, "alone") == [expected([2], Native(5, 160, 0.001))]


def test_every_histogram_may_have_both_forms() -> None:
    """``native_histograms`` adds native buckets to every histogram of the catalogue; a row's own stay as they are."""
    for option, scale in ((True, 3), (Native(max_scale=6), 6)):
        telemetry = Telemetry(ROWS, native_histograms=option)
        for metric in ROWS:
            telemetry[metric].labels("a").observe(0.3)  # type: ignore[attr-defined]  # all are histograms
        assert states(telemetry, "classic")[0][2].scale == scale
        assert states(telemetry, "both")[0][2].scale == 3
        assert states(telemetry, "alone")[0].scale == 5


def test_option_of_another_type_is_refused() -> None:
    """An option that is neither a switch nor a ``Native`` stops the construction."""
    with pytest.raises(TypeError, match=r"^native_histograms is 'on': True, False or a Native is needed$"):
        Telemetry(ROWS, native_histograms="on")  # type: ignore[arg-type]  # what callers may do


def test_host_provider_has_native_buckets_by_our_views() -> None:
    """A provider that others build keeps native buckets where it has our Views."""
    reader = PrometheusReader(scope_info_enabled=False, registry=CollectorRegistry())
    provider = MeterProvider([reader], shutdown_on_exit=False, views=views(ROWS, native_histograms=True))
    telemetry = Telemetry(ROWS, meter_provider=provider)
    telemetry[CLASSIC].labels("a").observe(0.3)
    telemetry.reader = reader
    assert states(telemetry, "classic") == [([0, 1, 0], 0.3, expected([0.3], Native()))]
    provider.shutdown()


def test_without_direct_reading_only_the_explicit_form_is_known() -> None:
    """A reader that takes the SDK's own collect shows a histogram with both forms as an explicit one."""
    readers = [PrometheusReader(registry=CollectorRegistry(), direct=direct) for direct in (True, False)]
    provider = MeterProvider(readers, Resource({}), shutdown_on_exit=False, views=views(ROWS))
    telemetry = Telemetry(ROWS, meter_provider=provider)
    for value, metric in product(VALUES, (BOTH, ALONE)):
        telemetry[metric].labels("a").observe(value)
    telemetry.reader = readers[1]
    assert states(telemetry, "both") == [((4, 3, 2), sum(VALUES))]
    assert states(telemetry, "alone") == [expected(VALUES, Native(5, 160, 0.001))]
    provider.shutdown()


@pytest.mark.parametrize("temporality", [{}, DELTA], ids=["cumulative", "deltas"])
def test_other_readers_see_the_sdks_points(temporality: dict[type, AggregationTemporality]) -> None:
    """A reader that pushes gets explicit buckets of the one, an exponential histogram of the other, each time what is due."""
    pushed = InMemoryMetricReader(temporality)
    telemetry = Telemetry(ROWS, metric_readers=[pushed])
    found = []
    for _ in range(2):
        for value, metric in product((0.05, 0.3), (BOTH, ALONE)):
            telemetry[metric].labels("a").observe(value)
        found.append({name: value[:3] for name, _, value, _ in points(pushed)})
    twice = 1 if temporality else 2
    assert found[0] == {"alone": (2, 0.35, ()), "both": (2, 0.35, (1, 1, 0))}
    assert found[1]["both"] == (2 * twice, pytest.approx(0.35 * twice), (twice, twice, 0))
    assert found[1]["alone"] == (2 * twice, pytest.approx(0.35 * twice), ())
    assert states(telemetry, "both")[0][2].positive == expected([0.05, 0.3] * 2, Native()).positive
    assert states(telemetry, "alone")[0].positive == expected([0.05, 0.3] * 2, Native(5)).positive


def test_no_delta_without_measurements() -> None:
    """A reader of deltas gets no point of native buckets when nothing was measured since its last collect."""
    pushed = InMemoryMetricReader(DELTA)
    telemetry = Telemetry(ROWS, metric_readers=[pushed])
    telemetry[ALONE].labels("a").observe(0.3)
    assert [name for name, *_ in points(pushed)] == ["alone"]
    assert points(pushed) == []


def test_exponential_point_is_what_otlp_carries() -> None:
    """The SDK's data of native buckets alone are an exponential histogram with offset, counts and extremes."""
    pushed = InMemoryMetricReader()
    telemetry = Telemetry(ROWS, metric_readers=[pushed])
    for value in (0.0005, 1, 3):
        telemetry[ALONE].labels("a").observe(value)
    data = pushed.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    (point,) = metric.data.data_points
    assert (point.count, point.sum, point.scale, point.zero_count) == (3, 4.0005, 5, 1)  # type: ignore[union-attr]
    assert (point.min, point.max) == (0.0005, 3)  # type: ignore[union-attr]
    buckets = point.positive  # type: ignore[union-attr]
    assert (buckets.offset, buckets.bucket_counts[0], buckets.bucket_counts[-1]) == (-1, 1, 1)
    assert len(buckets.bucket_counts) == 52


@given(
    st.lists(st.floats(1e-6, 1e6).filter(lambda v: abs(log2(v) * 256 - round(log2(v) * 256)) > 1e-6), max_size=60),
    st.integers(-4, 8),
)
def test_buckets_are_those_of_the_sdk(values: list[float], scale: int) -> None:
    """Away from bounds, where its logarithm is exact enough, the SDK's exponential histogram has the same buckets."""
    reader = InMemoryMetricReader()
    view = View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation(160, scale))
    provider = MeterProvider([reader], shutdown_on_exit=False, views=[view])
    instrument = provider.get_meter("m").create_histogram("e")
    for value in values:
        instrument.record(value)
    data = reader.get_metrics_data()
    provider.shutdown()
    if data is None or not values:
        return
    point: Any = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]
    ours = expected(values, Native(scale))
    counts = list(point.positive.bucket_counts)
    while counts and not counts[-1]:
        counts.pop()
    assert (point.scale, point.zero_count) == (ours.scale, 0)
    assert (point.positive.offset, counts) == (ours.positive_offset, list(ours.positive))


@pytest.mark.parametrize("value", [5e-324, float_info.min, 1e-300, float_info.max, 2**63 - 1, True])
def test_numbers_at_the_edges_are_counted(way: str, value: float) -> None:
    """The least, the largest and whole numbers are counted in both forms."""
    telemetry = Telemetry(ROWS)
    telemetry[BOTH].labels("a").observe(value)
    ((counts, _, native),) = states(telemetry, "both")
    assert (sum(counts), native.zero_count + sum(native.positive)) == (1, 1)


def test_exemplars_of_native_buckets_alone_are_the_newest_of_each_doubling() -> None:
    """Of 10,000 sampled measurements 20 are kept, each the newest of its doubling, with its time and trace."""
    telemetry = Telemetry(ROWS)
    for number in range(1, 10_001):
        with trace.use_span(span(number)):
            telemetry[ALONE].labels("a").observe(number % 1000 + 0.5)

    def marks(snapshot: Snapshot) -> list[Any]:
        (stream,) = [each for each in snapshot.streams if each.kind is StreamKind.EXPONENTIAL]
        return [point for point in stream.slice(0, 1, exemplars=True)[1][0] if point is not None]

    found = telemetry.reader.read_local(marks)  # type: ignore[arg-type]  # of any result, not of bytes alone
    assert len(found) == 11
    assert sorted((point.value, point.trace_id) for point in found)[:3] == [(0.5, 10_000), (1.5, 9001), (3.5, 9003)]
    assert all(point.time_unix_nano > 0 for point in found)


def test_a_forked_child_starts_at_zero() -> None:
    """New storages, as a forked child has them, count from zero in both forms."""
    telemetry = Telemetry(ROWS)
    for metric in (BOTH, ALONE):
        telemetry[metric].labels("a").observe(0.3)
    assert start_empty(telemetry.reader)
    for metric in (BOTH, ALONE):
        telemetry[metric].labels("a").observe(5)
    assert states(telemetry, "both") == [([0, 0, 1], 5, expected([5], Native()))]
    assert states(telemetry, "alone") == [expected([5], Native(5, 160, 0.001))]


def test_transferred_measurements_are_in_both_forms() -> None:
    """Measurements of a telemetry that was replaced are in both forms; their native buckets follow from the explicit ones."""
    old, new = Telemetry(ROWS), Telemetry(ROWS, native_histograms=True)
    for value in (0.05, 0.5, 0.7, 30):
        for metric in (CLASSIC, ALONE):
            old[metric].labels("a").observe(value)
    new[CLASSIC].labels("a").observe(0.3)
    new[ALONE].labels("a").observe(0.3)
    transfer(old, new)
    assert states(new, "classic") == [([1, 3, 1], 31.55, expected([0.1, 1, 1, 0.3, 30], Native())._replace(sum=31.55))]
    assert states(new, "alone") == [expected([0.3, 0.05, 0.5, 0.7, 30], Native(5, 160, 0.001))]


def test_reading_while_threads_measure_shows_equal_counts() -> None:
    """However many threads measure meanwhile, each reading has as many measurements in one form as in the other."""
    telemetry = Telemetry(ROWS)
    bound = telemetry[BOTH].labels("a")
    bound.observe(0)

    def measure(seed: int) -> None:
        for number in range(3000):
            bound.observe((number * seed) % 977 / 31)

    threads = [threading.Thread(target=measure, args=(seed,)) for seed in (7, 11, 13, 17)]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen += states(telemetry, "both")
    for thread in threads:
        thread.join()
    seen += states(telemetry, "both")
    assert [sum(counts) for counts, _, _ in seen] == [native.zero_count + sum(native.positive) for _, _, native in seen]
    assert sum(seen[-1][0]) == 12_001
