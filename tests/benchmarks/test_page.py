"""docs/performance.md: its tables are those of the committed results."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.limits import FLOORS, limits
from benchmarks.measure import Row
from benchmarks.page import PAGE, page
from benchmarks.results import COMMITTED, Place, Results, newest_two

NAMES = ("machine", "rows", "shares", "limits", "floors")
MARKS = "".join(f"<!-- {name}: generated -->\nold\n<!-- {name}: end -->\n" for name in NAMES)


def results(date: str, ratio: float) -> Results:
    """Results of a row with a goal, one without, and a limit."""
    what = "bound handle observe"
    (floor,) = FLOORS[what]
    rows = [
        Row(what, "child.observe", ratio, 0.75, "", ratio - 0.01, ratio + 0.01, ours=6e-7),
        Row("by keywords", "theirs", 0.5, None),
        Row(floor, "", 312.4, None, unit="ns"),
    ]
    placed = {Place("record", "Recording", row.what, row.peer): row for row in rows}
    return Results(date, "abc1234", 3, {"cpu": "A"}, {"opentelemetry-sdk": "1.45.0"}, placed)


def test_the_page_has_the_tables_of_the_committed_results() -> None:
    """``make bench-record`` changes nothing."""
    text = PAGE.read_text()
    assert page(text, *newest_two(COMMITTED)) == text


def test_tables_show_before_and_now_with_the_scatter() -> None:
    """Rows with a goal are shown, a missed one says so, and each floor stands beside its row."""
    text = page(MARKS, results("2026-11-27T01:00:00Z", 0.86), results("2026-11-28T01:00:00Z", 0.7))
    assert "| date | 2026-11-27T01:00:00Z | 2026-11-28T01:00:00Z |" in text
    row = "| bound handle observe | child.observe | 0.860 (0.850 to 0.870) | 0.700 (0.690 to 0.710) | 0.75 |"
    assert [line for line in text.splitlines() if "0.700" in line or "by keywords" in line] == [row]
    assert f"| {FLOORS['bound handle observe'][0]} | 312 |" in text
    assert f"| bound handle observe | 600 | 312 | {FLOORS['bound handle observe'][0]} |" in text
    assert "old" not in text
    assert page(text, results("2026-11-27T01:00:00Z", 0.86), results("2026-11-28T01:00:00Z", 0.7)) == text


def test_a_table_without_goals_is_shown_as_shares() -> None:
    """The parts of a whole have their share and what they take."""
    found = results("2026-11-28T01:00:00Z", 0.8)
    part = Row("server span", "the request", 0.25, None, "60 us", 0.24, 0.26)
    shares = {Place("service", "Shares of a request", part.what, part.peer): part}
    text = page(MARKS, None, replace(found, rows=found.rows | shares))
    assert "| server span | the request | 0.250 (0.240 to 0.260) | 60 us |" in text
    assert "by keywords" not in text


def test_the_first_results_have_nothing_before_them() -> None:
    """A missed goal says so; the column before is empty."""
    text = page(MARKS, None, results("2026-11-28T01:00:00Z", 0.8))
    assert "| bound handle observe | child.observe | - | 0.800 (0.790 to 0.810) | 0.75, missed |" in text


def test_a_page_without_marks_is_an_error() -> None:
    """The error names the marks."""
    with pytest.raises(
        ValueError, match=r"performance\.md lacks the marks <!-- machine: generated --> and <!-- machine: end -->"
    ):
        page("", None, results("2026-11-28T01:00:00Z", 0.8))


def test_each_floor_is_a_limit_that_is_measured(monkeypatch) -> None:
    """Each part of a floor is a row of ``limits``."""
    monkeypatch.setattr("benchmarks.limits.timed", lambda what, *_, **__: Row(what, "", 1.0, None, unit="ns"))
    assert {part for parts in FLOORS.values() for part in parts} <= {row.what for row in limits()}
