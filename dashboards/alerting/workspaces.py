"""Recording rules and alerts of the workspaces' money, each with its test cases.

Of several instances each has a ledger of its own: what is left of a budget is the budget without the sum of what they spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.alerting.alert import Alert, Case, series
from dashboards.alerting.slo import QUERY
from dashboards.config import BUDGET_LOW, BUDGET_PACE
from dashboards.money import remaining
from telemetry.agentos.catalogue_workspaces import (
    WORKSPACE_BUDGET,
    WORKSPACE_BUDGET_REMAINING,
    WORKSPACE_COST,
    WORKSPACE_PERIOD_END,
)
from telemetry.metric import Metric

__all__ = ["RECORDS", "WORKSPACE_ALERTS", "Record"]

_BY = ("job", "workspace_id")
_ACME = {"workspace_id": "acme"}


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule of the workspaces, with what it has for series after 60 minutes."""

    name: str
    help: str
    """What it tells, for the reference."""
    expr: str
    given: Mapping[str, str]
    """The scraped values of each series, minute by minute, as promtool writes them."""
    value: float
    """The value for the workspace acme after 60 minutes."""


def _acme(metric: Metric, instance: str = "a:8000") -> str:
    return series(metric, workspace_id="acme", instance=instance)


_COST, _BUDGET, _LEFT, _END = (
    _acme(row) for row in (WORKSPACE_COST, WORKSPACE_BUDGET, WORKSPACE_BUDGET_REMAINING, WORKSPACE_PERIOD_END)
)
_OTHER = {_acme(row, "b:8000"): values for row, values in ((WORKSPACE_BUDGET, "100x60"), (WORKSPACE_BUDGET_REMAINING, "70x60"))}


def _record(metric: Metric, operation: str) -> str:
    return f"job_workspace_id:{metric.prometheus_name.removesuffix('_total')}:{operation}"


HOUR, SIX_HOURS = _record(WORKSPACE_COST, "increase1h"), _record(WORKSPACE_COST, "increase6h")
BUDGET, LEFT = _record(WORKSPACE_BUDGET, "max"), _record(WORKSPACE_BUDGET_REMAINING, "sum")
END = _record(WORKSPACE_PERIOD_END, "min")

RECORDS = (
    Record(HOUR, "cost in USD in the last hour", QUERY.increase(WORKSPACE_COST, "1h", *_BY), {_COST: "0+0.5x60"}, 30),
    Record(SIX_HOURS, "cost in USD in the last 6 hours", QUERY.increase(WORKSPACE_COST, "6h", *_BY), {_COST: "0+0.5x60"}, 30),
    Record(BUDGET, "the budget in USD", QUERY.top(WORKSPACE_BUDGET, *_BY), {_BUDGET: "100x60"} | _OTHER, 100),
    Record(
        LEFT,
        "what is left of it in USD over all instances; negative where more is spent",
        remaining(QUERY, "job"),
        {_BUDGET: "100x60", _LEFT: "90x60"} | _OTHER,
        60,
    ),
    Record(END, "when its period ends, as Unix time", QUERY.level(WORKSPACE_PERIOD_END, *_BY), {_END: "7200x60"}, 7200),
)
"""The cost per hour, and the budgets over all instances."""


def _pace(cost: str, hours: int) -> str:
    """How many times too fast the money goes for what is left to last until the period ends."""
    return f"{cost} / {hours} * ({END} - time()) / 3600 / {LEFT} > {BUDGET_PACE:g}"


def _money(left: str, cost: str = "0x400", ends: int = 2_000_000) -> dict[str, str]:
    return {_BUDGET: "100x400", _LEFT: left, _COST: cost, _END: f"{ends}x400"}


WORKSPACE_ALERTS = (
    Alert(
        "WorkspaceBudgetBurn",
        severity="ticket",
        wait="15m",
        expr=f"{_pace(SIX_HOURS, 6)}\nand\n{_pace(HOUR, 1)}",
        summary="Workspace {{ $labels.workspace_id }} burns its budget",
        description=(
            'The money of {{ $labels.workspace_id }} goes {{ $value | printf "%.1f" }} times too fast to last until its period '
            "ends, over the last 6 hours and still over the last one."
        ),
        panel="Spent of the Budget",
        narrow=("workspace_id",),
        cases=(
            Case("fires when the money goes too fast", _money("100-0.2x400", "0+0.2x400", 200_000), 87, _ACME, "1.9"),
            Case("is silent when it lasts until the end", _money("100-0.02x400", "0+0.02x400", 30_000), 380),
            Case("is silent when the last hour cost nothing", _money("100-0.25x240 40x160", "0+0.25x240 60x160", 200_000), 385),
            Case("is silent when only the last hour cost much", _money("100x360 100-0.1x40", "0x360 0+0.1x40", 200_000), 380),
        ),
    ),
    Alert(
        "WorkspaceBudgetOutSoon",
        severity="ticket",
        wait="10m",
        expr=f"{LEFT} / {HOUR} < 24\nand\n{LEFT} / {HOUR} * 3600 < {END} - time()\nand\n{LEFT} > 0",
        summary="Workspace {{ $labels.workspace_id }} will have spent its budget within a day",
        description=(
            'At the pace of the last hour the budget of {{ $labels.workspace_id }} is spent in {{ $value | printf "%.1f" }} '
            "hours, before its period ends."
        ),
        panel="Budget Remaining",
        narrow=("workspace_id",),
        cases=(
            Case(
                "fires when the money lasts for less than a day",
                _money("100-0.11x120", "0+0.11x120", 200_000),
                47,
                _ACME,
                "18.3",
            ),
            Case("is silent when it lasts longer", _money("100-0.05x120", "0+0.05x120", 200_000), 110),
            Case("is silent when the period ends before", _money("100-0.1x120", "0+0.1x120", 40_000), 110),
            Case("is silent when nothing is left", _money("0-0.1x120", "0+0.1x120", 200_000), 110),
        ),
    ),
    Alert(
        "WorkspaceBudgetLow",
        severity="ticket",
        wait="5m",
        expr=f"{LEFT} / {BUDGET} < {BUDGET_LOW:g}\nand\n{LEFT} > 0",
        summary="Workspace {{ $labels.workspace_id }} has little left of its budget",
        description="{{ $value | humanizePercentage }} of the budget of {{ $labels.workspace_id }} is left in this period.",
        panel="Remaining Share",
        narrow=("workspace_id",),
        cases=(
            Case("fires when a twentieth is left", _money("50x5 5x20"), 11, _ACME, "5%"),
            Case("is silent when a fifth is left", _money("20x20"), 15),
            Case("is silent when it is overspent", _money("-5x20"), 15),
        ),
    ),
    Alert(
        "WorkspaceOverspent",
        severity="ticket",
        wait="5m",
        # A budget of 0 that nothing is spent of is no news.
        expr=f"{LEFT} < 0\nor\n({LEFT} == 0 and {BUDGET} > 0)",
        summary="Workspace {{ $labels.workspace_id }} has spent its budget",
        description='{{ $labels.workspace_id }} has {{ $value | printf "%.2f" }} USD left of its budget in this period.',
        panel="Budget Remaining",
        narrow=("workspace_id",),
        cases=(
            Case("fires when more is spent", _money("5x5 -5x20"), 11, _ACME, "-5.00"),
            Case("fires when all is spent", _money("5x5 0x20"), 11, _ACME, "0.00"),
            Case(
                "fires when two instances together have spent it",
                _money("60x5 50x20") | {name: values.replace("70", "45") for name, values in _OTHER.items()},
                11,
                _ACME,
                "-5.00",
            ),
            Case("is silent while money is left", _money("1x20"), 15),
            Case("is silent over a budget of 0 without spending", {_BUDGET: "0x20", _LEFT: "0x20"}, 15),
        ),
    ),
)
