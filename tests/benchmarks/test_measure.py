"""Rows of the benchmarks: their scatter, their line, and the file that gets them."""

from __future__ import annotations

import json

import pytest

from benchmarks.measure import ROWS_FILE, Row, compare, line, show


def test_a_row_of_rounds_has_their_median_and_their_quartiles() -> None:
    """The ratio is the median; the scatter ends at the first and the third quartile."""
    row = Row.of_rounds("ours", "theirs", [1.0, 4.0, 2.0, 3.0, 5.0], 2.0, "detail")
    assert row == Row("ours", "theirs", 3.0, 2.0, "detail", low=2.0, high=4.0)


def test_a_row_of_one_round_has_no_scatter() -> None:
    """Both ends are the only ratio."""
    assert Row.of_rounds("ours", "theirs", [1.5], None) == Row("ours", "theirs", 1.5, None, low=1.5, high=1.5)


def test_a_comparison_calls_between_before_each_round_and_does_not_time_it() -> None:
    """With a clock that only the calls move, each side takes what its calls take."""
    now = 0.0
    order = []

    def spend(seconds: float, who: str) -> None:
        nonlocal now
        now += seconds
        order.append(who)

    row = compare(
        "ours",
        lambda: spend(1.0, "a"),
        "theirs",
        lambda: spend(2.0, "b"),
        None,
        number=1,
        rounds=2,
        clock=lambda: now,
        between=lambda: spend(5.0, "-"),
    )
    assert row == Row("ours", "theirs", 0.5, None, "1.00 s / 2.00 s", low=0.5, high=0.5, ours=1.0)
    assert "".join(order) == "ab-ab-ab"


@pytest.mark.parametrize(
    ("row", "end"),
    [
        (Row("ours", "theirs", 0.25, 0.3, "1 s / 4 s", 0.24, 0.26), "0.250  0.240-0.260    goal 0.3   ok     1 s / 4 s"),
        (Row("ours", "theirs", 0.5, 0.3), "0.500                 goal 0.3   MISSED"),
        (Row("with lock", "", 183.4, None, low=180.0, high=190.0, unit="ns"), "183 ns  180-190"),
    ],
)
def test_a_line_has_ratio_scatter_and_goal(row: Row, end: str) -> None:
    """A missed goal says so; a row without a peer has its unit."""
    assert line(row).endswith(f" {end}")


def test_printed_rows_go_to_the_file_that_the_environment_names(tmp_path, monkeypatch, capsys) -> None:
    """Each row is a line of JSON with the title of its table."""
    monkeypatch.setenv(ROWS_FILE, str(tmp_path / "rows"))
    show("a table", [Row("ours", "theirs", 0.5, None, low=0.4, high=0.6), Row("size", "", 3.0, None, unit="ns")])
    found = [json.loads(each) for each in (tmp_path / "rows").read_text().splitlines()]
    rest = {"goal": None, "detail": "", "ours": None}
    assert found == [
        {"table": "a table", "what": "ours", "peer": "theirs", "ratio": 0.5, "low": 0.4, "high": 0.6, "unit": "ratio", **rest},
        {"table": "a table", "what": "size", "peer": "", "ratio": 3.0, "low": None, "high": None, "unit": "ns", **rest},
    ]
    assert capsys.readouterr().out.startswith("\na table\n  ours")
