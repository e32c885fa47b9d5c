"""Results of the benchmarks: their file, and the medians of several runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchmarks.measure import Row
from benchmarks.results import PACKAGES, Place, Results, files, merged, newest_two

PLACE = Place("record", "Recording", "ours", "theirs")
OTHER = Place("memory", "Memory", "series", "theirs")


def results(date: str) -> Results:
    """Results of one row."""
    row = Row("ours", "theirs", 0.5, 0.6, "1 s / 2 s", 0.4, 0.55, ours=1.0)
    return Results(date, "abc1234", 3, {"cpu": "A", "cores": "2"}, {"opentelemetry-sdk": "1.45.0"}, {PLACE: row})


def test_a_file_gives_back_what_was_written(tmp_path) -> None:
    """The file has the date as its name, in characters that every file system takes."""
    file = results("2026-11-28T01:02:03Z").write(tmp_path)
    assert file == tmp_path / "2026-11-28T01-02-03Z.json"
    assert Results.read(file) == results("2026-11-28T01:02:03Z")


def test_a_file_lists_machine_versions_and_rows(tmp_path) -> None:
    """The file is JSON with one object for each row."""
    text = results("2026-11-28T01:02:03Z").write(tmp_path).read_text()
    assert "".join(each.strip() for each in text.splitlines()) == (
        '{"date": "2026-11-28T01:02:03Z","commit": "abc1234","runs": 3,"machine": {"cpu": "A","cores": "2"},'
        '"versions": {"opentelemetry-sdk": "1.45.0"},"rows": [{"benchmark": "record","table": "Recording","what": "ours",'
        '"peer": "theirs","ratio": 0.5,"goal": 0.6,"detail": "1 s / 2 s","low": 0.4,"high": 0.55,"unit": "ratio","ours": 1.0}]}'
    )


def test_a_file_has_five_digits_of_a_number(tmp_path) -> None:
    """More digits than the scatter has are noise in a diff."""
    found = results("2026-11-28T01:02:03Z")
    row = Row("ours", "theirs", 2 / 3, 0.6, low=1234567.8, high=None, ours=1.23456789e-7)
    read = Results.read(replace(found, rows={PLACE: row}).write(tmp_path))
    assert read.rows[PLACE] == Row("ours", "theirs", 0.66667, 0.6, low=1234600.0, high=None, ours=1.2346e-7)


def test_results_of_now_state_the_machine_and_the_versions() -> None:
    """Each fact of the machine has a value, and each package its version."""
    found = Results.now([{PLACE: Row("ours", "theirs", 0.5, None)}], datetime(2026, 11, 28, 1, 2, 3, tzinfo=UTC))
    assert (found.date, found.runs) == ("2026-11-28T01:02:03Z", 1)
    assert list(found.machine) == ["cpu", "cores", "kernel", "python"]
    assert all(found.machine.values())
    assert tuple(found.versions) == PACKAGES


def test_the_newest_file_is_the_last(tmp_path) -> None:
    """Names sort by date."""
    dates = ["2026-11-28T01:02:03Z", "2025-12-31T23:59:59Z", "2026-02-01T00:00:00Z"]
    for date in dates:
        results(date).write(tmp_path)
    assert [file.stem[:4] for file in files(tmp_path)] == ["2025", "2026", "2026"]
    before, now = newest_two(tmp_path)
    assert (before and before.date, now.date) == ("2026-02-01T00:00:00Z", "2026-11-28T01:02:03Z")


def test_the_only_results_have_none_before_them(tmp_path) -> None:
    """A folder with one file gives that, one without files an error."""
    with pytest.raises(FileNotFoundError, match="no results in"):
        newest_two(tmp_path)
    results("2026-11-28T01:02:03Z").write(tmp_path)
    assert newest_two(tmp_path) == (None, results("2026-11-28T01:02:03Z"))


def test_several_runs_give_the_median_and_both_ends() -> None:
    """The scatter of a row is its lowest and its highest run; the detail is that of the run in the middle."""
    runs = [
        {PLACE: Row("ours", "theirs", ratio, 0.6, f"run of {ratio}", ratio - 0.01, ratio + 0.01, ours=ours)}
        for ratio, ours in ((0.5, 3.0), (0.7, 1.0), (0.4, 2.0))
    ]
    assert merged(runs) == {PLACE: Row("ours", "theirs", 0.5, 0.6, "run of 0.5", 0.4, 0.7, ours=2.0)}


def test_a_single_run_keeps_the_scatter_of_its_rounds() -> None:
    """Nothing changes."""
    runs = [{PLACE: Row("ours", "theirs", 0.5, 0.6, "", 0.4, 0.55)}]
    assert merged(runs) == runs[0]


def test_a_row_that_a_run_lacks_is_of_the_others() -> None:
    """A benchmark that failed once leaves the rows of the other runs."""
    row = Row("series", "theirs", 0.8, None)
    assert merged([{PLACE: row}, {PLACE: row, OTHER: row}])[OTHER] == Row("series", "theirs", 0.8, None, low=0.8, high=0.8)
