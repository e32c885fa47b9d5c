"""Names and units."""

from __future__ import annotations

import pytest

from telemetry.agentos.catalogue import AGENTOS
from telemetry.metric import Metric
from telemetry.metric.naming import Translation, label_key, metric_name, unit_word


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
def test_unit(unit: str, word: str) -> None:
    """A unit becomes its Prometheus word; annotations are dropped."""
    assert unit_word(unit) == word


@pytest.mark.parametrize(
    ("name", "unit", "counter", "expected"),
    [
        ("a.b", "", False, "a_b"),
        ("a..b", "", False, "a_b"),
        ("a__b", "", False, "a_b"),
        ("1a", "", False, "_1a"),
        ("a:b", "", False, "a:b"),
        ("é", "", False, "_"),
        ("a.seconds", "s", False, "a_seconds"),
        ("a", "s", True, "a_seconds"),
        ("a.total", "", True, "a"),
        ("a.total", "s", True, "a_seconds"),
        ("a_total", "", False, "a_total"),
        ("a-", "s", False, "a_seconds"),
        ("seconds", "s", False, "seconds"),
        ("cpu", "1", False, "cpu_ratio"),
        ("total", "", True, "total"),
        ("a_seconds_total", "s", True, "a_seconds"),
    ],
)
def test_metric_name(name: str, unit: str, counter: bool, expected: str) -> None:
    """Characters, digits in front, double underscores, units and _total, as the compatibility text has them."""
    assert metric_name(name, unit, Translation.UNDERSCORES, utf8=False, counter=counter) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a.b", "a_b"), ("a:b", "a_b"), ("9", "_9"), ("__x__", "_x_"), ("le", "exported_le"), ("ü", "_"), ("", "_")],
)
def test_label_key(key: str, expected: str) -> None:
    """A key becomes one that every Prometheus takes."""
    assert label_key(key, utf8=False) == expected


@pytest.mark.parametrize("metric", AGENTOS, ids=lambda metric: metric.name)
def test_names_of_the_catalogue(metric: Metric) -> None:
    """The exposition names every metric of the catalogue as the catalogue says."""
    counter = metric.is_counter
    name = metric_name(metric.name, metric.unit, Translation.UNDERSCORES, utf8=False, counter=counter)
    assert name + ("_total" if counter else "") == metric.prometheus_name
