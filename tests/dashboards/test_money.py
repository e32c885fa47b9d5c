"""Queries about costs and budgets."""

from __future__ import annotations

from dashboards.money import known_cost, remaining, remaining_share, spent
from dashboards.promql import Query
from telemetry.agentos.catalogue_models import COST, UNPRICED_CALLS

QUERY = Query(job="one", variables={})
BUDGET, LEFT = 'workspace_budget_USD{job="one"}', 'workspace_budget_remaining_USD{job="one"}'


def test_a_cost_of_0_without_any_price_has_no_sample() -> None:
    """What is above 0 is shown, and 0 unless calls lack a price."""
    cost = 'sum(increase(ccr_cost_USD_total{job="one"}[1h]))'
    unpriced = 'sum(increase(ccr_unpriced_total{job="one", reason="model"}[1h]))'
    assert known_cost(QUERY, COST, UNPRICED_CALLS, "1h", reason="model") == (
        f"{cost} > 0\nor\n({cost}\nunless\n{unpriced} > 0)"
    )


def test_what_instances_spent_is_added_up() -> None:
    """Each instance has a ledger of its own: what is left is the budget without the sum of what they spent."""
    assert spent(QUERY) == f"sum by (workspace_id) ({BUDGET} - {LEFT})"
    assert remaining(QUERY, "job") == (
        f"max by (job, workspace_id) ({BUDGET})\n-\nsum by (job, workspace_id) ({BUDGET} - {LEFT})"
    )
    assert remaining_share(QUERY) == (
        f"clamp_min(1 - sum by (workspace_id) ({BUDGET} - {LEFT}) / max by (workspace_id) ({BUDGET}), 0) >= 0"
    )


def test_a_shared_ledger_counts_once() -> None:
    """Instances with one ledger show the same money: the highest of them counts."""
    assert spent(QUERY, shared=True) == f"max by (workspace_id) ({BUDGET} - {LEFT})"
