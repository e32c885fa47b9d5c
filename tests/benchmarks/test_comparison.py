"""Comparison of a run with the one before: what became slower by more than the scatter of both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.__main__ import compare_newest
from benchmarks.comparison import Comparison
from benchmarks.measure import Row
from benchmarks.results import Place, Results

PLACE = Place("record", "Recording", "ours", "theirs")
EMPTY = Results("2026-11-28T01:00:00Z", "aaaaaaa", 3, {"cpu": "A"}, {"opentelemetry-sdk": "1.45.0"}, {})


def results(*rows: Row, benchmark: str = "record") -> Results:
    """Results with these rows in one table."""
    return replace(EMPTY, rows={Place(benchmark, "Recording", row.what, row.peer): row for row in rows})


def row(ratio: float, low: float | None = None, high: float | None = None, what: str = "ours") -> Row:
    """A row against the peer."""
    return Row(what, "theirs", ratio, None, low=low, high=high)


@pytest.mark.parametrize(
    ("before", "now", "slower", "faster"),
    [
        (row(1.0, 0.875, 1.125), row(1.25, 1.125, 1.375), 0, 0),  # as much as both scatters
        (row(1.0, 0.875, 1.125), row(1.5, 1.375, 1.625), 1, 0),  # twice as much
        (row(1.0, 0.9, 1.0), row(1.5, 1.4, 1.5), 1, 0),
        (row(1.5, 1.4, 1.5), row(1.0, 0.9, 1.0), 0, 1),
        (row(1.0), row(1.03), 0, 0),  # no rounds: 2 % of each is scatter
        (row(1.0), row(1.05), 1, 0),
        (row(1.0, 1.0, 1.0), row(1.03, 1.03, 1.03), 0, 0),  # rounds that agree count as 2 % too
    ],
)
def test_a_row_is_slower_beyond_the_scatter_of_both(before: Row, now: Row, slower: int, faster: int) -> None:
    """A difference counts that is larger than both scatters together."""
    found = Comparison(results(before), results(now))
    assert (len(found.slower), len(found.faster), len(found.alike)) == (slower, faster, 1 - slower - faster)


def test_rows_come_and_go() -> None:
    """A row of only one side is missing or new."""
    found = Comparison(results(row(1.0, what="a"), row(1.0, what="b")), results(row(1.0, what="b"), row(1.0, what="c")))
    assert [place.what for place in found.missing] == ["a"]
    assert [place.what for place in found.new] == ["c"]


def test_a_benchmark_that_did_not_run_misses_no_rows() -> None:
    """A run of one benchmark is compared with that benchmark's rows."""
    found = Comparison(results(row(1.0), benchmark="memory"), results(row(1.0)))
    assert found.missing == []


def test_rows_without_a_ratio_are_left_out() -> None:
    """What the interpreter costs says nothing of ours."""
    one, other = (results(Row("with lock", "", number, None, unit="ns")) for number in (100.0, 900.0))
    found = Comparison(one, other)
    assert [*found.slower, *found.alike, *found.missing, *found.new] == []


def test_the_report_names_what_differs() -> None:
    """Dates, commits, another machine, another version, then the rows that changed and the counts."""
    before = results(row(1.0, 0.9, 1.1), row(1.0, what="gone"))
    now = replace(
        results(row(2.0, 1.9, 2.1), row(0.5, what="added")),
        date="2026-12-01T01:00:00Z",
        commit="bbbbbbb+",
        runs=1,
        machine={"cpu": "B"},
        versions={"opentelemetry-sdk": "1.46.0"},
    )
    assert list(Comparison(before, now).lines()) == [
        "before: 2026-11-28T01:00:00Z, commit aaaaaaa, 3 runs",
        "now:    2026-12-01T01:00:00Z, commit bbbbbbb+, 1 run",
        "another machine: cpu A -> B",
        "another version: opentelemetry-sdk 1.45.0 -> 1.46.0",
        "slower  record: Recording: ours vs theirs: 1.000 (+-0.100) -> 2.000 (+-0.100)",
        "missing record: Recording: gone vs theirs",
        "new     record: Recording: added vs theirs: 0.500",
        "1 slower, 0 faster, 0 alike, 1 missing, 1 new",
    ]


def test_the_command_returns_1_where_something_became_slower(tmp_path, capsys) -> None:
    """0 where nothing did, 2 where there is nothing to compare."""
    committed, latest = tmp_path / "committed", tmp_path / "latest"
    assert compare_newest(latest, committed) == 2
    results(row(1.0)).write(committed)
    results(row(1.5)).write(latest)
    assert compare_newest(latest, committed) == 1
    replace(results(row(1.01)), date="2026-11-28T02:00:00Z").write(latest)
    assert compare_newest(latest, committed) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 slower, 0 faster, 1 alike, 0 missing, 0 new"
