"""Two metrics with the same name, and two label sets that become the same."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Translation
from telemetry.metric import telemetry_metrics
from tests.helpers.providers import OPENMETRICS, families, key, provider, samples, text


def test_two_types_under_one_name(caplog: pytest.LogCaptureFixture) -> None:
    """Of two types under one name the first is shown; the other is left out, counted once and logged once."""
    diagnostics = Diagnostics()
    meters, reader = provider(diagnostics=diagnostics)
    meters.get_meter("one").create_up_down_counter("m").add(1)
    meters.get_meter("two").create_histogram("m").record(1)
    with caplog.at_level(logging.WARNING):
        bodies = {text(reader) for _ in range(3)}
    assert bodies == {"# TYPE m gauge\nm 1\n"}
    assert diagnostics.values(telemetry_metrics.CLASHES.name) == {("m",): 1}
    assert [record.getMessage() for record in caplog.records] == [
        "m of scope two is left out of the scrape: m is a gauge already"
    ]


def test_names_that_become_one() -> None:
    """Two instruments whose names become the same share one TYPE and keep their points, if their labels differ."""
    meters, reader = provider()
    meters.get_meter("m").create_counter("a.b").add(1, {"k": "1"})
    meters.get_meter("m").create_counter("a_b").add(2, {"k": "2"})
    assert text(reader) == '# TYPE a_b_total counter\na_b_total{k="1"} 1\na_b_total{k="2"} 2\n'


@pytest.mark.parametrize(("first", "second"), [("foo", "foo.count"), ("foo.sum", "foo")])
def test_sample_names_that_meet(first: str, second: str) -> None:
    """A metric with the name of another one's sample is left out: OpenMetrics allows each name once."""
    meters, reader = provider()
    meter = meters.get_meter("m")
    for name in (first, second):
        if "." in name:
            meter.create_up_down_counter(name).add(1)
        else:
            meter.create_histogram(name).record(1)
    assert [m.name for m in families(text(reader, OPENMETRICS), openmetrics=True)] == [first.replace(".", "_")]


def test_two_descriptions(caplog: pytest.LogCaptureFixture) -> None:
    """Of two descriptions the first is shown; the points of both metrics stay."""
    diagnostics = Diagnostics()
    meters, reader = provider(diagnostics=diagnostics)
    meters.get_meter("one").create_counter("c", description="first").add(1, {"k": "1"})
    meters.get_meter("two").create_counter("c", description="second").add(2, {"k": "2"})
    assert text(reader) == ('# HELP c_total first\n# TYPE c_total counter\nc_total{k="1"} 1\nc_total{k="2"} 2\n')
    assert diagnostics.values(telemetry_metrics.CLASHES.name) == {}
    assert "two descriptions or units" in caplog.text


def test_same_series_of_two_scopes() -> None:
    """Without scope labels the same series of a second scope is left out and counted; with them both are shown."""
    diagnostics = Diagnostics()
    for scope_labels, expected in ((False, 1), (True, 2)):
        meters, reader = provider(diagnostics=diagnostics, scope_info_enabled=scope_labels)
        meters.get_meter("one").create_counter("c").add(1, {"k": "v"})
        meters.get_meter("two").create_counter("c").add(2, {"k": "v"})
        assert len(samples(families(text(reader), openmetrics=False))) == expected
    assert diagnostics.values(telemetry_metrics.CLASHES.name) == {("c_total",): 1}


def test_scope_labels() -> None:
    """Scope name, version, schema and attributes are labels, and distinguish scopes."""
    meters, reader = provider(scope_info_enabled=True)
    meters.get_meter("a", "1", "http://s", {"x.y": 1}).create_counter("c").add(1)
    assert text(reader) == (
        "# TYPE c_total counter\n"
        'c_total{otel_scope_name="a",otel_scope_schema_url="http://s",otel_scope_version="1",otel_scope_x_y="1"} 1\n'
    )


def test_different_keys_of_one_metric() -> None:
    """Two scopes' same metric with different label keys keeps each value under its own key."""
    meters, reader = provider()
    meters.get_meter("one").create_counter("c").add(1, {"z": "Z"})
    meters.get_meter("two").create_counter("c").add(2, {"a": "A", "z": "Z"})
    assert samples(families(text(reader), openmetrics=False)) == {
        key("c_total", {"z": "Z"}): 1.0,
        key("c_total", {"a": "A", "z": "Z"}): 2.0,
    }


def test_keys_that_become_one() -> None:
    """Values of label keys that become the same are joined, in the order of the original keys."""
    meters, reader = provider()
    meters.get_meter("m").create_gauge("g").set(1, {"a_b": "3", "a.b": "1", "a/b": "2"})
    assert text(reader) == '# TYPE g gauge\ng{a_b="1;2;3"} 1\n'


def test_label_sets_that_become_one() -> None:
    """Two label sets of one metric that become the same text are one series: the second is left out and counted."""
    diagnostics = Diagnostics()
    meters, reader = provider(diagnostics=diagnostics)
    gauge = meters.get_meter("m").create_gauge("g")
    for attributes in ({"a.b": "x"}, {"a_b": "x"}, {"n": 1}, {"n": "1"}, {"e": ""}, {}):
        gauge.set(1, attributes)
    assert text(reader) == '# TYPE g gauge\ng{a_b="x"} 1\ng{n="1"} 1\ng{e=""} 1\n'
    assert diagnostics.values(telemetry_metrics.CLASHES.name) == {("g",): 3}


def test_names_that_an_escaping_makes_one() -> None:
    """Two types whose names only one escaping makes equal clash there alone, and are counted once."""
    diagnostics = Diagnostics()
    meters, reader = provider(translation=Translation.UTF8, diagnostics=diagnostics)
    meters.get_meter("m").create_up_down_counter("a.b").add(1)
    meters.get_meter("m").create_histogram("a_dot_b").record(1)
    for escaping, shown in (("underscores", 2), ("dots", 1), ("values", 2), ("allow-utf-8", 2), ("dots", 1)):
        body = text(reader, f"{OPENMETRICS};escaping={escaping}")
        assert (escaping, len(families(body, openmetrics=True))) == (escaping, shown)
    assert diagnostics.values(telemetry_metrics.CLASHES.name) == {("a_dot_b",): 1}


def test_a_clash_of_several_escapings_is_counted_once() -> None:
    """A series that is left out in every escaping is one clash, not one for each."""
    diagnostics = Diagnostics()
    meters, reader = provider(translation=Translation.UTF8, diagnostics=diagnostics)
    for scope in ("one", "two"):
        meters.get_meter(scope).create_counter("a.b").add(1, {"k": "v"})
    for escaping in ("underscores", "dots", "values", "allow-utf-8"):
        assert text(reader, f"{OPENMETRICS};escaping={escaping}").count("} 1\n") == 1
    assert diagnostics.values(telemetry_metrics.CLASHES.name) == {("a_b_total",): 1}


@pytest.mark.parametrize(
    ("escaping", "labels"),
    [
        ("allow-utf-8", ['"a.b"="x",a_dot_b="y"', 'a_dot_b="x"', '"a.b"="x"']),
        ("dots", ['a_dot_b="x;y"', 'a_dot_b="x"']),
        ("values", ['U__a_2e_b="x",a_dot_b="y"', 'a_dot_b="x"', 'U__a_2e_b="x"']),
    ],
)
def test_keys_that_an_escaping_makes_one(escaping: str, labels: list[str]) -> None:
    """Keys that become equal are joined, and label sets that become equal are one series, by the escaping's own names."""
    diagnostics = Diagnostics()
    meters, reader = provider(translation=Translation.UTF8, diagnostics=diagnostics)
    gauge = meters.get_meter("m").create_gauge("g")
    for attributes in ({"a.b": "x", "a_dot_b": "y"}, {"a_dot_b": "x"}, {"a.b": "x"}):
        gauge.set(1, attributes)
    body = text(reader, f"text/plain;version=1.0.0;escaping={escaping}")
    assert body == "# TYPE g gauge\n" + "".join(f"g{{{each}}} 1\n" for each in labels)
    assert diagnostics.values(telemetry_metrics.CLASHES.name) == ({("g",): 1} if escaping == "dots" else {})


def test_reserved_label_keys() -> None:
    """A label key is not ``le``, which buckets have, and does not begin with two underscores or a digit."""
    meters, reader = provider(views=[View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation([]))])
    meters.get_meter("m").create_histogram("h").record(1, {"le": "x", "__name__": "y", "0a": "z"})
    labels = '_0a="z",_name_="y",exported_le="x"'
    assert text(reader) == (
        f'# TYPE h histogram\nh_bucket{{{labels},le="+Inf"}} 1\nh_count{{{labels}}} 1\nh_sum{{{labels}}} 1\n'
    )


def test_two_views_of_one_instrument() -> None:
    """Two matching Views with the same name do not interleave their buckets: the first one's series are shown."""
    bounds = ([1], [2, 3])
    meters, reader = provider(
        views=[View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation(b)) for b in bounds]
    )
    meters.get_meter("m").create_histogram("h").record(1)
    assert text(reader) == '# TYPE h histogram\nh_bucket{le="1.0"} 1\nh_bucket{le="+Inf"} 1\nh_count 1\nh_sum 1\n'


def test_two_views_with_different_labels() -> None:
    """Two Views that keep different labels both show their whole series."""
    meters, reader = provider(
        views=[
            View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation([b]), attribute_keys={k})
            for b, k in ((1, "a"), (2, "b"))
        ]
    )
    meters.get_meter("m").create_histogram("h").record(1, {"a": "x", "b": "y"})
    assert text(reader) == (
        '# TYPE h histogram\nh_bucket{a="x",le="1.0"} 1\nh_bucket{a="x",le="+Inf"} 1\nh_count{a="x"} 1\nh_sum{a="x"} 1\n'
        'h_bucket{b="y",le="2.0"} 1\nh_bucket{b="y",le="+Inf"} 1\nh_count{b="y"} 1\nh_sum{b="y"} 1\n'
    )


def test_a_name_does_not_change_hands() -> None:
    """The first metric of a name keeps it, also while it has no series."""
    there = [True]
    meters, reader = provider()
    meters.get_meter("one").create_observable_gauge("m", [lambda _: [Observation(1)] if there[0] else []])
    assert text(reader) == "# TYPE m gauge\nm 1\n"
    there[0] = False
    meters.get_meter("two").create_histogram("m").record(1)
    assert text(reader) == ""
    there[0] = True
    assert text(reader) == "# TYPE m gauge\nm 1\n"


def test_prefix() -> None:
    """Every name but target_info's gets the prefix."""
    meters, reader = provider(prefix="my.app", disable_target_info=False)
    meters.get_meter("m").create_counter("c", "By").add(1)
    assert text(reader) == (
        "# HELP target_info Target metadata\n# TYPE target_info gauge\n"
        'target_info{service_name="test"} 1\n# TYPE my_app_c_bytes_total counter\nmy_app_c_bytes_total 1\n'
    )


def test_target_is_taken() -> None:
    """A metric cannot take the name of the target info."""
    meters, reader = provider(disable_target_info=False, info=["target"])
    meters.get_meter("m").create_observable_gauge("target", [lambda _: [Observation(1, {"a": "b"})]])
    assert samples(families(text(reader, OPENMETRICS), openmetrics=True)) == {key("target_info", {"service_name": "test"}): 1.0}


def test_select() -> None:
    """The reader leaves out the metrics for which ``select`` is False."""
    meters, reader = provider(select=lambda scope, name: scope != "http" and not name.startswith("gen_ai."))
    meters.get_meter("http").create_counter("a").add(1)
    meters.get_meter("other").create_counter("gen_ai.x").add(1)
    meters.get_meter("other").create_counter("b").add(1)
    meters.get_meter("http").create_observable_gauge("o", [lambda _: [Observation(1)]])
    assert text(reader) == "# TYPE b_total counter\nb_total 1\n"


def test_resource_attributes_as_labels() -> None:
    """Resource attributes that the filter selects are labels of every sample; the point's own attributes win."""
    meters, reader = provider(resource_attribute_filter=lambda name: name == "service.name")
    counter = meters.get_meter("m").create_counter("c")
    counter.add(1)
    counter.add(2, {"service.name": "mine"})
    assert text(reader) == '# TYPE c_total counter\nc_total{service_name="test"} 1\nc_total{service_name="mine"} 2\n'
