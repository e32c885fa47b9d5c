"""Tokens, money and budgets of workspaces over several workers: nothing is lost or counted twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.spending_worker import BUDGETS, SpendingWorker, usages

EACH = 20_000
Shown = tuple[dict[tuple[str, str], float], dict[str, float], dict[str, float]]


def spend(workers: Sequence[SpendingWorker], seeds: Sequence[int]) -> None:
    """Lets the workers record at the same time."""
    for worker, seed in zip(workers, seeds, strict=True):
        worker.ask("spend", seed, EACH)
    assert [worker.answer() for worker in workers] == ["done"] * len(workers)


def scraped(worker: SpendingWorker) -> Shown:
    """Returns tokens by workspace and kind, cost in billionths of a dollar, and what is left of the budgets."""
    worker.ask("scrape")
    found: Any = worker.answer()
    assert [each for each in found if each[0].startswith("agentos_telemetry")] == []
    return (
        {(of["workspace_id"], of["kind"]): value for name, of, value in found if name == "workspace_tokens_total"},
        {of["workspace_id"]: round(value, 9) for name, of, value in found if name == "workspace_cost_USD_total"},
        {of["workspace_id"]: value for name, of, value in found if name == "workspace_budget_remaining_USD"},
    )


def expected(seeds: Sequence[int]) -> Shown:
    """Returns the same by ``decimal``."""
    tokens: dict[tuple[str, str], float] = defaultdict(float)
    money: dict[str, Decimal] = defaultdict(Decimal)
    for seed in seeds:
        for workspace, kinds, cost in usages(seed, EACH):
            money[workspace] += cost
            for kind in ("input", "cached", "output", "reasoning", "cache_write", "unknown"):
                tokens[workspace, kind] += kinds.get(kind, 0)
    left = {name: float(Decimal(budget["USD"]) - money[name]) for name, budget in BUDGETS.items()}
    return dict(tokens), {name: round(float(total), 9) for name, total in money.items()}, left


def test_usages_of_four_workers_and_a_killed_one_are_exact(tmp_path: Path) -> None:
    """Of 100,000 random usages tokens, money and what is left of the budgets are the sums by ``decimal``.

    Four workers record 80,000 of them, and are scraped. Then one is killed, nothing changes, and another one goes on.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(SpendingWorker(tmp_path)) for _ in range(4)]
        spend(workers, [1, 2, 3, 4])
        scraped(workers[0])  # each worker saves what it has spent before it answers
        assert scraped(workers[0]) == expected([1, 2, 3, 4])
        workers[3].kill()
        assert scraped(workers[1]) == expected([1, 2, 3, 4])
        workers[3] = stack.enter_context(SpendingWorker(tmp_path))
        spend(workers[3:], [5])
        scraped(workers[2])
        assert scraped(workers[2]) == expected([1, 2, 3, 4, 5])


@pytest.mark.parametrize("at_once", [True, False])
def test_what_a_killed_worker_had_spent_is_not_lost(tmp_path: Path, at_once: bool) -> None:
    """A worker that is killed after its last spending has its sums in the ledger, with and without a scrape before."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(SpendingWorker(tmp_path)) for _ in range(2))
        spend([one], [1])
        if at_once:
            scraped(other)
        else:
            spend([other], [2])  # takes longer than the delay of the ledger
        one.kill()
        assert scraped(other)[2] == expected([1] if at_once else [1, 2])[2]
