"""What is left of budgets: exact, in the period of now, and never of a period that is over."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from telemetry.agentos.budgets import Budget, Period
from telemetry.agentos.workspace_budgets import WorkspaceBudgets
from tests.helpers.clock import Clock

Make = Callable[..., WorkspaceBudgets]


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: float = 0) -> float:
    """Returns a moment in UTC as Unix time."""
    return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() + second


def budget(usd: str, period: str = "month") -> dict[str, str]:
    return {"USD": usd, "period": period}


@pytest.fixture
def now(clock: Clock) -> Clock:
    """A Friday afternoon."""
    clock.now = at(2026, 11, 27, 15)
    return clock


@pytest.fixture
def make(tmp_path: Path, now: Clock) -> Iterator[Make]:
    """Makes budgets over one ledger."""
    made: list[WorkspaceBudgets] = []

    def one(budgets: Any, ledger: Path | None = tmp_path / "ledger") -> WorkspaceBudgets:
        made.append(WorkspaceBudgets(budgets, ledger, clock=now, patience=10.0))
        return made[-1]

    yield one
    for each in made:
        each.close()


def left(budgets: WorkspaceBudgets) -> dict[str, Decimal]:
    return dict(budgets.remaining())


def test_what_is_spent_is_subtracted_exactly(make: Make) -> None:
    """A thousand tenths leave nothing of a hundred, and one cent more leaves minus one cent."""
    budgets = make({"acme": budget("100"), "globex": budget("5", "day")})
    for _ in range(1000):
        budgets.spend("acme", Decimal("0.1"))
    assert left(budgets) == {"acme": Decimal(0), "globex": Decimal(5)}
    budgets.spend("acme", Decimal("0.01"))
    assert left(budgets) == {"acme": Decimal("-0.01"), "globex": Decimal(5)}


def test_a_workspace_without_a_budget_is_not_counted(make: Make) -> None:
    """There is nothing of it, also where it gets a budget later."""
    budgets = make({"acme": budget("1")})
    budgets.spend("globex", Decimal(1))
    assert left(budgets) == {"acme": Decimal(1)}
    assert left(make({"globex": budget("3")})) == {"globex": Decimal(3)}


@pytest.mark.parametrize(("period", "end"), [("day", at(2026, 11, 28)), ("week", at(2026, 11, 30)), ("month", at(2026, 12, 1))])
def test_a_period_ends_to_the_moment(make: Make, now: Clock, period: str, end: float) -> None:
    """A millisecond before midnight UTC the period goes on; at midnight the whole budget is there again, without a spending."""
    budgets = make({"acme": budget("10", period)})
    budgets.spend("acme", Decimal(4))
    assert budgets.period_ends() == {"acme": end}
    now.now = end - 0.001
    budgets.spend("acme", Decimal(5))
    assert (left(budgets), budgets.period_ends()) == ({"acme": Decimal(1)}, {"acme": end})
    now.now = end
    assert left(budgets) == {"acme": Decimal(10)}
    assert budgets.period_ends()["acme"] > end


def test_a_new_process_goes_on_in_the_period(make: Make) -> None:
    """What was spent before a restart counts after it, by the file."""
    first = make({"acme": budget("10")})
    first.spend("acme", Decimal(4))
    first.close()
    assert left(make({"acme": budget("10")})) == {"acme": Decimal(6)}


def test_without_a_path_the_ledger_is_the_process_own(make: Make) -> None:
    """Two of them do not see each other."""
    one, other = make({"acme": budget("10")}, None), make({"acme": budget("10")}, None)
    one.spend("acme", Decimal(4))
    assert (left(one), left(other)) == ({"acme": Decimal(6)}, {"acme": Decimal(10)})


def test_a_changed_budget_goes_on_with_what_was_spent(make: Make, now: Clock) -> None:
    """With another amount or period, what was spent in the new period's days counts."""
    now.now = at(2026, 11, 20)
    first = make({"acme": budget("10")})
    first.spend("acme", Decimal(1))
    now.now = at(2026, 11, 24)
    first.spend("acme", Decimal(2))
    now.now = at(2026, 11, 27)
    first.spend("acme", Decimal(4))
    assert left(first) == {"acme": Decimal(3)}
    shown = {period: left(make({"acme": budget("10", period)}))["acme"] for period in ("day", "week", "month")}
    assert shown == {"day": Decimal(6), "week": Decimal(4), "month": Decimal(3)}
    assert left(make({"acme": budget("5")})) == {"acme": Decimal(-2)}


def write(path: Path, budgets: dict[str, Any]) -> None:
    """Replaces the file; its times are long ago, and differ from those of the content before."""
    path.write_text(json.dumps(budgets))
    old = time.time() - 3600 + len(budgets)
    os.utime(path, (old, old))


def test_budgets_of_a_file_come_and_go(make: Make, tmp_path: Path) -> None:
    """An added budget counts from then on; a removed one is gone at the next look, and comes back with what was spent."""
    path = tmp_path / "budgets.json"
    write(path, {"acme": budget("10")})
    budgets = make(path)
    budgets.spend("acme", Decimal(1))
    budgets.spend("globex", Decimal(1))
    write(path, {"acme": budget("10"), "globex": budget("20")})
    assert left(budgets) == {"acme": Decimal(9), "globex": Decimal(20)}
    budgets.spend("globex", Decimal(1))
    write(path, {})
    assert left(budgets) == {}
    write(path, {"acme": budget("30"), "globex": budget("30")})
    assert left(budgets) == {"acme": Decimal(29), "globex": Decimal(29)}
    assert budgets.budgets["acme"] == Budget(Decimal(30), Period.MONTH)


def test_a_file_is_read_again_without_a_look(make: Make, tmp_path: Path) -> None:
    """A spending of a workspace without a budget makes the file's thread run, which reads the file within a second."""
    path = tmp_path / "budgets.json"
    write(path, {})
    budgets = make(path)
    write(path, {"acme": budget("10")})
    budgets.spend("acme", Decimal(1))
    deadline = time.monotonic() + 10
    while not budgets.budgets and time.monotonic() < deadline:
        os.sched_yield()
    assert list(budgets.budgets) == ["acme"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_counts_in_the_same_ledger(make: Make) -> None:
    """A child that spends and ends leaves its spending to the parent."""
    budgets = make({"acme": budget("10")})
    budgets.spend("acme", Decimal(1))
    child = os.fork()
    if child == 0:
        budgets.spend("acme", Decimal(2))
        budgets.close(10)
        os._exit(0)
    os.waitpid(child, 0)
    assert left(budgets) == {"acme": Decimal(7)}
