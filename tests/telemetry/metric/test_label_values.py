"""Closed domains are checked and open ones bounded; in production no measurement is lost and each problem is counted."""

from __future__ import annotations

import logging
from enum import Enum, StrEnum

import pytest

from telemetry import LabelError, Telemetry
from telemetry._base.diagnostics import Diagnostics
from telemetry.metric import Catalogue, CatalogueError, closed_label, counter, open_label, telemetry_metrics
from telemetry.metric.label_values import Domain, Domains, text_of
from tests.helpers.samples import above_zero

HITS = counter("hits", "", "h", open_label("who", "w", limit=2), closed_label("how", "h", "a", "b"))
LIST = Catalogue([HITS, *telemetry_metrics.TELEMETRY])


class Colour(Enum):
    RED = "red"
    TWO = 2


class Word(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("navi", "navi"),
        ("größe", "größe"),
        (Colour.RED, "red"),
        (Colour.TWO, "2"),
        (Word.RED, "red"),
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        (b"bytes", "bytes"),
        (b"\xff", None),
        ("\ud800", None),
        (None, None),
        ([], None),
    ],
)
def test_every_kind_of_value_has_a_defined_text(value: object, text: str | None) -> None:
    """Strings stand for themselves, enum members for their value, numbers for their spelling; other objects have no text."""
    assert text_of(value) == text


@pytest.mark.parametrize("value", [None, "", "x" * 129, "a\nb", b"\xff", "\ud800"])
def test_value_outside_an_open_domain_is_invalid(value: object) -> None:
    """A value that is too long, empty, or without text, or has control characters becomes ``invalid``."""
    assert Domain(HITS.labels[0]).admit(value) == "invalid"


def test_open_domain_keeps_the_first_values_and_folds_the_rest() -> None:
    """The first values up to the limit keep their series, later ones become ``other``; known ones do not count."""
    domain = Domain(HITS.labels[0], known=["k"], limit=2)
    assert [domain.admit(v) for v in ("a", "k", "b", "c", "a", "k", "d")] == ["a", "k", "b", "other", "a", "k", "other"]
    assert domain.discovered == {"a", "b"}
    assert domain.size == 5


def test_values_of_another_worker_are_admitted_up_to_the_capacity() -> None:
    """``admit_all`` admits values that match the pattern, up to the capacity."""
    domain = Domain(HITS.labels[0], limit=2)
    domain.admit_all(["x", "bad\n", "y", "z"])
    assert len(domain.discovered) == 2
    assert domain.discovered < {"x", "y", "z"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"who": "x", "how": "c"}, "hits_total: how must be one of a, b; it is 'c'"),
        ({"who": "x"}, "hits_total: how is missing; the label keys are who, how"),
        ({"who": "x", "how": "a", "why": "z"}, "hits_total: no label why; the label keys are who, how"),
        ({"who": "x" * 200, "how": "a"}, "hits_total: who must be text that matches"),
    ],
)
def test_wrong_labels_raise_in_strict_mode(given: dict[str, object], message: str) -> None:
    """In strict mode a wrong label raises an error that names metric, key, value and what is allowed."""
    telemetry = Telemetry(LIST, strict=True)
    with pytest.raises(LabelError) as caught:
        telemetry[HITS].labels(**given)
    assert str(caught.value).startswith(message)


def test_too_many_positional_values_raise_in_strict_mode() -> None:
    """A value beyond the metric's keys raises in strict mode."""
    with pytest.raises(LabelError, match="no label #2"):
        Telemetry(LIST, strict=True)[HITS].labels("x", "a", "more")


def test_wrong_labels_are_recorded_and_counted_in_production(caplog: pytest.LogCaptureFixture) -> None:
    """In production the measurement is recorded under ``invalid``, counted each time and logged once."""
    telemetry = Telemetry(LIST)
    with caplog.at_level(logging.WARNING, "telemetry"):
        for _ in range(3):
            telemetry[HITS].labels(who="x", how="c").inc()
    assert above_zero(telemetry) == {
        ("hits_total", (("how", "invalid"), ("who", "x"))): 3.0,
        ("agentos_telemetry_invalid_total", (("label", "how"), ("metric", "hits_total"))): 3.0,
    }
    assert len(caplog.records) == 1


def test_overflow_is_counted_by_metric_and_label() -> None:
    """Values over the limit are recorded under ``other``, so that the sum over all series stays exact."""
    telemetry = Telemetry(LIST, limits={"who": 2}, known={"who": ["k"]})
    for who in ("a", "b", "c", "d", "k", "a"):
        telemetry[HITS].labels(who=who, how="a").inc()
    counted = above_zero(telemetry)
    assert counted.pop(("agentos_telemetry_overflow_total", (("label", "who"), ("metric", "hits_total")))) == 2.0
    assert {dict(labels)["who"]: value for (_, labels), value in counted.items()} == {"a": 2, "b": 1, "k": 1, "other": 2}


def test_limit_for_an_unknown_label_raises() -> None:
    """A limit for a label that no metric has raises an error that names the open labels."""
    with pytest.raises(CatalogueError, match="no open label 'nobody'; the open labels are"):
        Domains(LIST, Diagnostics(), limits={"nobody": 1})


def test_too_many_possible_series_raise() -> None:
    """A metric whose limits allow more series than ``max_series`` raises."""
    with pytest.raises(CatalogueError, match=r"hits_total could have 12 series by the limits of who, how; at most 11"):
        Telemetry(LIST, max_series=11)
