"""Definitions validate themselves, and a catalogue validates them against each other."""

from __future__ import annotations

import pytest

from telemetry.metric import (
    Catalogue,
    CatalogueError,
    Kind,
    Metric,
    Native,
    closed_label,
    counter,
    histogram,
    info,
    open_label,
    up_down_counter,
)

WHO = open_label("who", "who", limit=5)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (counter("a.b", "{request}", "h"), "a_b_total"),
        (counter("a.tokens", "By", "h"), "a_tokens_bytes_total"),
        (histogram("a.time", "s", "h", bounds=(1,)), "a_time_seconds"),
        (histogram("a.seconds", "s", "h", bounds=(1,)), "a_seconds"),
        (up_down_counter("a-b..c", "1", "h"), "a_b_c_ratio"),
        (info("svc.info", "h"), "svc_info"),
    ],
)
def test_prometheus_name_has_unit_and_suffix(metric: object, name: str) -> None:
    """A definition states its name in Prometheus."""
    assert metric.prometheus_name == name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (lambda: [counter("a.b", "", "h"), counter("A.B", "", "h")], "stands twice"),
        (lambda: [counter("a.b", "", "h"), up_down_counter("a_b", "", "h")], "both become a_b"),
        (lambda: [counter("a.b", "", "h"), up_down_counter("a_b_total", "", "h")], "both become a_b_total"),
        (lambda: [histogram("a", "", "h", bounds=(1,)), counter("a.count", "", "h")], "both become a_count"),
        (lambda: [counter("lat2", "ms", "h"), counter("lat2_milliseconds", "{x}", "h")], "both become lat2_milliseconds"),
        (lambda: [counter("a", "", "h"), counter("a_total", "", "h")], "both become a"),
        (lambda: [histogram("a", "", "h", bounds=(1,)), up_down_counter("a.created", "", "h")], "both become a_created"),
        (lambda: [info("a.info", "h"), up_down_counter("a", "", "h")], "both become a"),
        (lambda: [counter("1a", "", "h")], "no OpenTelemetry instrument name"),
        (lambda: [counter("a", "", "h", WHO, WHO)], "stands twice"),
        (lambda: [histogram("a", "", "h", open_label("le", "le", limit=1), bounds=(1,))], "cannot be a label key"),
        (lambda: [counter("a", "", "h", open_label("a-b", "x", limit=1))], "cannot be a label key"),
        (lambda: [histogram("a", "", "h", bounds=(2, 1))], "must rise"),
        (lambda: [histogram("a", "", "h", bounds=())], "needs them or native ones"),
        (lambda: [histogram("a", "", "h")], "needs them or native ones"),
        (lambda: [Metric("a", Kind.COUNTER, "", "h", native=Native())], "belong to a histogram"),
        (lambda: [info("a.facts", "h")], "ends in .info"),
        (lambda: [counter("a", "", "h", closed_label("x", "x"))], "at least one value"),
        (lambda: [counter("a", "", "h", open_label("x", "x", limit=0))], "limit must be at least 1"),
    ],
)
def test_contradiction_raises(metrics: object, message: str) -> None:
    """A definition that contradicts itself or another one raises when the catalogue is built."""
    with pytest.raises(CatalogueError, match=message):
        Catalogue(metrics())  # type: ignore[operator]


def test_catalogue_is_a_sequence() -> None:
    """A catalogue can be counted, sliced and looked up by instrument name."""
    metrics = [counter("A.hits", "", "h"), histogram("took", "s", "t", bounds=(1,)), info("svc.info", "i")]
    catalogue = Catalogue(metrics)
    assert len(catalogue) == 3
    assert catalogue[0] is metrics[0]
    assert list(catalogue[1:]) == metrics[1:]
    assert catalogue.by_name["a.hits"] is metrics[0]


def test_unknown_label_is_named() -> None:
    """Asking a metric for a label that it does not have raises an error that names its labels."""
    with pytest.raises(KeyError, match="hits_total has no label 'agent', it has who"):
        counter("hits", "", "h", WHO).label("agent")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_scale": 9}, "max_scale of native buckets is 9: an integer from -4 to 8 is needed"),
        ({"max_scale": -5}, "max_scale of native buckets is -5: an integer from -4 to 8 is needed"),
        ({"max_scale": True}, "max_scale of native buckets is True: an integer from -4 to 8 is needed"),
        ({"max_scale": 3.0}, "max_scale of native buckets is 3.0: an integer from -4 to 8 is needed"),
        ({"max_size": 1}, "max_size of native buckets is 1: an integer from 2 to 16384 is needed"),
        ({"max_size": 16385}, "max_size of native buckets is 16385: an integer from 2 to 16384 is needed"),
        ({"zero_threshold": -1e-9}, "zero_threshold of native buckets is -1e-09: a finite number from 0 on is needed"),
        ({"zero_threshold": float("nan")}, "zero_threshold of native buckets is nan: a finite number from 0 on is needed"),
        ({"zero_threshold": float("inf")}, "zero_threshold of native buckets is inf: a finite number from 0 on is needed"),
        ({"zero_threshold": "0"}, "zero_threshold of native buckets is '0': a finite number from 0 on is needed"),
    ],
)
def test_native_buckets_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    """Native buckets outside the range of Prometheus' schemas, or without a bound on their number, are refused."""
    with pytest.raises(CatalogueError) as refused:
        Native(**wrong)  # type: ignore[arg-type]
    assert str(refused.value) == message


def test_histogram_may_have_native_buckets_only() -> None:
    """A histogram has explicit bounds, native buckets, or both."""
    assert histogram("a", "s", "h", native=Native()).bounds == ()
    both = histogram("a", "s", "h", bounds=(1,), native=Native(max_scale=5))
    assert (both.bounds, both.native) == ((1.0,), Native(5, 160, 1e-128))
