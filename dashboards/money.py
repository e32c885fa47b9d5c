"""Queries about money: what calls cost where their prices are known, and what is left of the workspaces' budgets."""

from __future__ import annotations

from dashboards.config import SHARED_LEDGER
from dashboards.promql import Query, Value
from telemetry.agentos.catalogue_workspaces import WORKSPACE_BUDGET, WORKSPACE_BUDGET_REMAINING
from telemetry.metric import Metric

__all__ = ["known_cost", "remaining", "remaining_share", "spent"]

_BY = "workspace_id"


def known_cost(query: Query, cost: Metric, unpriced: Metric, window: str, *by: str, **missing: Value) -> str:
    """Returns the cost of the calls in the window; no sample where it is 0 because no call had a price.

    Args:
        query: Builds the queries.
        cost: The counter of the money.
        unpriced: The counter of the calls without a known cost.
        window: The window, which ends now.
        *by: Label keys of the result.
        **missing: What is missing for the cost of the calls that count as unpriced.
    """
    spent = query.increase(cost, window, *by)
    without = query.increase(unpriced, window, *by, offset="", **missing)
    return f"{spent} > 0\nor\n({spent}\nunless\n{without} > 0)"


def spent(query: Query, *by: str, shared: bool = SHARED_LEDGER) -> str:
    """Returns what is spent of the budgets in their period, over all instances.

    Args:
        query: Builds the queries.
        *by: Label keys of the result beside the workspace.
        shared: Whether the instances share a ledger; then the newest of them, which has most, counts.
    """
    keys = ", ".join((*by, _BY))
    each = f"{query.series(WORKSPACE_BUDGET)} - {query.series(WORKSPACE_BUDGET_REMAINING)}"
    return f"{'max' if shared else 'sum'} by ({keys}) ({each})"


def remaining(query: Query, *by: str) -> str:
    """Returns what may still be spent of the budgets in their period, over all instances; negative where it is overspent."""
    return f"{query.top(WORKSPACE_BUDGET, *by, _BY)}\n-\n{spent(query, *by)}"


def remaining_share(query: Query, *by: str) -> str:
    """Returns the part of the budgets that may still be spent, at least 0."""
    budget = query.top(WORKSPACE_BUDGET, *by, _BY)
    return f"clamp_min(1 - {spent(query, *by)} / {budget}, 0) >= 0"
