"""Names that a metric, a unit and a label key get in Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_full_name
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from telemetry import Telemetry
from telemetry.metric import (
    Catalogue,
    Label,
    Metric,
    counter,
    histogram,
    info,
    observable_counter,
    observable_gauge,
    open_label,
    up_down_counter,
)
from telemetry.metric.naming import UNIT_WORDS, FamilyType, Translation, family_name, label_key, unit_word
from tests.helpers.samples import read
from tests.helpers.sdk_versions import names_of_newest_exporter

UNITS = (*UNIT_WORDS, "", "{call}", "{call}/s", "By/s", "m/s", "1/s", "USD", "foo bar", "//", "_x_")
NAMES = (
    "plain",
    "a..b",
    "a__b",
    "Upper.Case",
    "requests_total",
    "requests.total",
    "total",
    "x_seconds",
    "seconds",
    "x_",
    "x-y/z",
)
KINDS: dict[str, Callable[[str, str], Metric]] = {
    "counter": lambda name, unit: counter(name, unit, "h"),
    "up-down counter": lambda name, unit: up_down_counter(name, unit, "h"),
    "histogram": lambda name, unit: histogram(name, unit, "h", bounds=(1,)),
    "observable counter": lambda name, unit: observable_counter(name, unit, "h"),
    "observable gauge": lambda name, unit: observable_gauge(name, unit, "h"),
    "info": lambda name, _: info(f"{name}.info", "h", open_label("version", "v", limit=1)),
}
STOCK: dict[FamilyType, Callable[..., Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}
"""What the stock exporter makes of a counter, a gauge or up-down counter, and a histogram."""
words = st.from_regex(r"[a-z][a-z0-9]{0,8}([._/-][a-z0-9]{1,8}){0,3}", fullmatch=True)
"""Random instrument names."""


def scraped_name(metric: Metric) -> str:
    """Records one measurement of the metric; returns the name of its samples in the scrape, without a histogram's suffix."""
    telemetry = Telemetry(Catalogue([metric]), strict=True)
    instrument = telemetry[metric]
    if metric.name.endswith(".info"):
        instrument.info({label.key: "x" for label in metric.labels})
    elif metric.is_observable:
        instrument.watch(lambda: {(): 1.0})
    else:
        measure = instrument.record if metric.bounds else instrument.add
        measure(1, {label.key: "x" for label in metric.labels})
    names = {name for name, _ in read(telemetry)}
    telemetry.shutdown()
    if metric.bounds:
        names = {name.removesuffix("_count") for name in names if name.endswith("_count")}
    (name,) = names
    return name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", UNITS)
def test_prometheus_name_is_the_scraped_name_for_each_unit(unit: str, kind: str) -> None:
    """For every unit and kind, ``prometheus_name`` is the name that /metrics shows."""
    metric = KINDS[kind]("checkout.duration", unit)
    assert metric.prometheus_name == scraped_name(metric)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_prometheus_name_is_the_scraped_name_for_each_name(name: str, kind: str) -> None:
    """Dots, capitals, double underscores, and suffixes that the name already has give the name that /metrics shows."""
    metric = KINDS[kind](name, "s")
    assert metric.prometheus_name == scraped_name(metric)


@pytest.mark.parametrize("key", ["plain", "a.b", "a..b", "a__b", "a_", "_a"])
def test_prometheus_key_is_the_scraped_key(key: str) -> None:
    """``Label.prometheus_key`` is the label key that /metrics shows."""
    label: Label = open_label(key, "k", limit=1)
    metric = counter("hits", "", "h", label)
    telemetry = Telemetry(Catalogue([metric]), strict=True)
    telemetry[metric].labels("x").inc()
    ((_, labels),) = read(telemetry)
    assert labels == ((label.prometheus_key, "x"),)


@pytest.mark.parametrize(
    ("unit", "word"),
    [
        ("", ""),
        ("s", "seconds"),
        ("ms", "milliseconds"),
        ("By", "bytes"),
        ("KiBy", "kibibytes"),
        ("1", "ratio"),
        ("%", "percent"),
        ("Cel", "celsius"),
        ("{request}", ""),
        ("{a}/s", "per_second"),
        ("By/s", "bytes_per_second"),
        ("By/{call}", "bytes"),
        ("1/min", "per_min"),
        ("m/m", "meters_per_minute"),
        ("m/s/s", "meters_per_s_s"),
        ("kBy", "kBy"),
        ("m/s", "meters_per_second"),
        ("1/s", "per_second"),
        ("{x}By", "bytes"),
        ("foo bar", "foo_bar"),
        ("_x_", "x"),
        ("USD", "USD"),
        ("//", ""),
        ("{a}b{c}", "b"),
    ],
)
def test_unit_becomes_its_word(unit: str, word: str) -> None:
    """A unit becomes its word in Prometheus; annotations are dropped."""
    assert unit_word(unit) == word


@pytest.mark.parametrize(("type_", "word"), [("gauge", "ratio"), ("counter", ""), ("histogram", ""), ("info", "")])
def test_unit_one_is_a_ratio_of_a_gauge(type_: FamilyType, word: str) -> None:
    """Unit ``1`` adds ``ratio`` to a gauge, and nothing to other types."""
    assert unit_word("1", type_) == word


@pytest.mark.parametrize("unit", ["1{part}", "{part}1"])
def test_unit_one_with_an_annotation_is_a_one(unit: str) -> None:
    """An annotation beside the ``1`` changes nothing."""
    assert (unit_word(unit, "gauge"), unit_word(unit, "counter")) == ("ratio", "")


@pytest.mark.parametrize(
    ("name", "unit", "type_", "expected"),
    [
        ("a.b", "", "gauge", "a_b"),
        ("a..b", "", "gauge", "a_b"),
        ("a__b", "", "gauge", "a_b"),
        ("1a", "", "gauge", "_1a"),
        ("a:b", "", "gauge", "a:b"),
        ("é", "", "gauge", "_"),
        ("a.seconds", "s", "gauge", "a_seconds"),
        ("a", "s", "counter", "a_seconds"),
        ("a.total", "", "counter", "a"),
        ("a.total", "s", "counter", "a_seconds"),
        ("a_total", "", "gauge", "a_total"),
        ("a-", "s", "gauge", "a_seconds"),
        ("seconds", "s", "gauge", "seconds"),
        ("cpu", "1", "gauge", "cpu_ratio"),
        ("hit.ratio", "1", "gauge", "hit_ratio"),
        ("hit.ratio.max", "1", "gauge", "hit_ratio_max"),
        ("hits", "1", "counter", "hits"),
        ("depth", "1", "histogram", "depth"),
        ("seconds.elapsed", "s", "gauge", "seconds_elapsed"),
        ("milliseconds", "s", "gauge", "milliseconds_seconds"),
        ("x.bytes", "By/s", "gauge", "x_bytes_bytes_per_second"),
        ("x.bytes.per.second", "By/s", "gauge", "x_bytes_per_second"),
        ("x", "{y}By", "gauge", "x_bytes"),
        ("a.total.b", "", "counter", "a_total_b"),
        ("a_", "", "counter", "a"),
        ("a_", "", "histogram", "a"),
        ("a_", "", "gauge", "a_"),
        ("a", "kBy", "gauge", "a_kBy"),
        ("total", "", "counter", "total"),
        ("a_seconds_total", "s", "counter", "a_seconds"),
        ("a.info", "", "info", "a"),
        ("info", "", "info", "info"),
    ],
)
def test_family_name_follows_the_specification(name: str, unit: str, type_: FamilyType, expected: str) -> None:
    """Characters, leading digits, double underscores, units and ``_total`` become what the specification asks for."""
    assert family_name(name, unit, type_).family == expected


@names_of_newest_exporter
@given(words, st.sampled_from(["", ".total", "_total", ".unit"]), st.sampled_from(UNITS), st.sampled_from([*STOCK]))
def test_stock_exporter_agrees(name: str, end: str, unit: str, type_: FamilyType) -> None:
    """The stock exporter names a family alike, but for the deviations that ``family_name`` states.

    These are left out here: a gauge in unit ``1`` (the exporter adds no ``_ratio``), a unit that stands within the name (added
    again), and a ``/`` before an annotation or special characters alone. Random names begin with a letter and contain no
    unit's word.
    """
    assume(not (unit == "1" and type_ == "gauge") and not map_unit(unit).endswith("_"))
    name += f".{unit_word(unit, type_) or 'x'}" if end == ".unit" else end
    family = STOCK[type_](sanitize_full_name(name.lower()), "h", unit=map_unit(unit))
    assert family_name(name.lower(), unit, type_).family == family.name


@names_of_newest_exporter
@pytest.mark.parametrize(
    ("name", "unit", "type_", "stock", "ours"),
    [
        ("cpu", "1", "gauge", "cpu", "cpu_ratio"),
        ("seconds.elapsed", "s", "gauge", "seconds_elapsed_seconds", "seconds_elapsed"),
        ("seconds", "s", "gauge", "seconds_seconds", "seconds"),
        ("x", "By/{call}", "gauge", "x_By", "x_bytes"),
        ("x", "{a}b{c}", "gauge", "x", "x_b"),
        ("1a", "", "gauge", "_a", "_1a"),
        ("a_", "", "counter", "a_", "a"),
    ],
)
def test_stock_exporter_deviates(name: str, unit: str, type_: FamilyType, stock: str, ours: str) -> None:
    """Where the stock exporter deviates from OpenTelemetry's text and from Prometheus, we do not follow it."""
    assert STOCK[type_](sanitize_full_name(name), "h", unit=map_unit(unit)).name == stock
    assert family_name(name, unit, type_).family == ours


@pytest.mark.parametrize(
    ("translation", "utf8", "family", "text"),
    [
        (Translation.UNDERSCORES, False, "a_b_seconds", "a_b_seconds_total"),
        (Translation.UNDERSCORES_WITHOUT_SUFFIXES, False, "a_b", "a_b"),
        (Translation.UTF8, True, "a.b_seconds", "a.b_seconds_total"),
        (Translation.NONE, True, "a.b", "a.b"),
    ],
)
def test_counter_name_in_each_translation(translation: Translation, utf8: bool, family: str, text: str) -> None:
    """The translation decides about dots, the unit and ``_total``."""
    name = family_name("a.b", "s", "counter", translation, utf8=utf8)
    assert (name.family, name.text) == (family, text)


def test_samples_of_each_type() -> None:
    """A family owns its own name and the names of all its samples."""
    assert {type_: family_name("a", "", type_).samples for type_ in ("counter", "gauge", "histogram", "info")} == {
        "counter": ("a", "a_total", "a_created"),
        "gauge": ("a",),
        "histogram": ("a", "a_bucket", "a_sum", "a_count", "a_created"),
        "info": ("a", "a_info"),
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a.b", "a_b"), ("a:b", "a_b"), ("9", "_9"), ("__x__", "_x_"), ("le", "exported_le"), ("ü", "_"), ("", "_")],
)
def test_label_key_is_one_that_every_prometheus_accepts(key: str, expected: str) -> None:
    """A key keeps letters, digits and underscores; ``le`` gets a prefix."""
    assert label_key(key, utf8=False) == expected
