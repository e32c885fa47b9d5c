"""Budgets: periods of the calendar, what a budget may be, and a file of them."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from telemetry.agentos.budgets import Budget, BudgetFile, Period, day_of, first_kept, parse_budgets, seconds_of


@pytest.mark.parametrize(
    ("period", "day", "first", "end"),
    [
        (Period.DAY, "2024-02-29", "2024-02-29", "2024-03-01"),
        (Period.WEEK, "2026-11-30", "2026-11-30", "2026-12-07"),
        (Period.WEEK, "2027-01-03", "2026-12-28", "2027-01-04"),
        (Period.MONTH, "2024-02-29", "2024-02-01", "2024-03-01"),
        (Period.MONTH, "2025-02-28", "2025-02-01", "2025-03-01"),
        (Period.MONTH, "2026-12-31", "2026-12-01", "2027-01-01"),
    ],
)
def test_a_period_is_that_of_the_calendar(period: Period, day: str, first: str, end: str) -> None:
    """A week begins on Monday, a month on its first day, also over the end of a month, of a year and of February."""
    given = date.fromisoformat(day)
    assert (period.first(given).isoformat(), period.end(given).isoformat()) == (first, end)


@pytest.mark.parametrize("period", Period)
def test_periods_follow_each_other_without_a_gap(period: Period) -> None:
    """Over four years each day is in exactly one period, whose end is the first day of the next one."""
    day = date(2024, 1, 1)
    for _ in range(4 * 366):
        assert period.first(day) <= day < period.end(day)
        assert period.first(period.end(day)) == period.end(day)
        assert first_kept(day) <= period.first(day)
        day += timedelta(days=1)


def test_a_day_ends_at_midnight_utc() -> None:
    """The last moment of a day belongs to it, the next one to the next day."""
    midnight = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert (day_of(midnight - 0.001), day_of(midnight)) == (date(2026, 11, 30), date(2026, 12, 1))
    assert seconds_of(date(2026, 12, 1)) == midnight


def test_an_amount_is_read_without_rounding() -> None:
    """Text and numbers become the decimal that is written there."""
    given = {"a": {"USD": "0.10", "period": "day"}, "b": {"USD": 0.1, "period": "week"}, "c": Budget(Decimal(7), Period.MONTH)}
    assert parse_budgets(given) == {
        "a": Budget(Decimal("0.10"), Period.DAY),
        "b": Budget(Decimal("0.1"), Period.WEEK),
        "c": Budget(Decimal(7), Period.MONTH),
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], 'an object of workspaces and budgets is needed, such as {"acme": {"USD": "100", "period": "month"}}'),
        ({"a b": {}}, "a workspace has letters, digits, '_', '.', '-', at most 64 of them, not 'a b'"),
        ({"other": {}}, "'other' cannot have a budget: its series are those of workspaces without one of their own"),
        ({"a": {"USD": 1}}, 'the budget of \'a\' needs USD and period, such as {"USD": "100", "period": "month"}'),
        ({"a": {"USD": 0, "period": "day"}}, "the USD of 'a' is 0; a number above 0 is needed, at most 1000000000000"),
        ({"a": {"USD": "NaN", "period": "day"}}, "the USD of 'a' is 'NaN'; a number above 0 is needed, at most 1000000000000"),
        ({"a": {"USD": True, "period": "day"}}, "the USD of 'a' is True; a number above 0 is needed, at most 1000000000000"),
        ({"a": {"USD": 1, "period": "year"}}, "the period of 'a' is 'year'; day, week or month is needed"),
    ],
)
def test_what_is_no_budget_is_refused(given: object, sentence: str) -> None:
    """The error names the workspace, the value and what is allowed."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole sentence is compared
        parse_budgets(given)
    assert str(error.value) == sentence


def write(path: Path, text: str) -> None:
    """Replaces the file; its times are long ago, and differ from those of the content before."""
    path.write_text(text)
    old = time.time() - 3600 + len(text)
    os.utime(path, (old, old))


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """What is written into the file later holds after the next look."""
    path = tmp_path / "budgets.json"
    write(path, '{"a": {"USD": 0.10, "period": "day"}}')
    file = BudgetFile(path)
    assert file.budgets == {"a": Budget(Decimal("0.10"), Period.DAY)}
    write(path, "{}")
    file.refresh()
    assert file.budgets == {}


def test_a_file_that_breaks_keeps_the_budgets(tmp_path: Path) -> None:
    """Half a file, a missing one and wrong budgets change nothing; each reason is reported once, and the end of it."""
    path, told = tmp_path / "budgets.json", list[tuple[str, bool]]()
    write(path, '{"a": {"USD": 1, "period": "day"}}')
    file = BudgetFile(path, lambda what, failed: told.append((what, failed)))
    for content in ('{"a": {"U', '{"a": {"U', '{"a": {}}', None, '{"b": {"USD": 2, "period": "week"}}'):
        path.unlink() if content is None else write(path, content)
        file.refresh()
        if content is None or not content.startswith('{"b"'):
            assert file.budgets == {"a": Budget(Decimal(1), Period.DAY)}
    assert file.budgets == {"b": Budget(Decimal(2), Period.WEEK)}
    kept = "the budgets read before (1) stay"
    assert told == [
        (f"it is no JSON, see line 1, column 8: {kept}", True),
        (f'the budget of \'a\' needs USD and period, such as {{"USD": "100", "period": "month"}}: {kept}', True),
        (f"it cannot be read (No such file or directory): {kept}", True),
        ("it can be used again (budgets: 1)", False),
    ]


@pytest.mark.parametrize("content", [None, "", "{", '{"a": NaN}', '{"a": {}, "a": {}}', "[" * 100_000, "\x00"])
def test_a_file_that_is_wrong_from_the_start_is_refused(tmp_path: Path, content: str | None) -> None:
    """A missing or broken file raises a sentence at once."""
    path = tmp_path / "budgets.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"^(it |a name is there twice|NaN is no number)"):
        BudgetFile(path)
