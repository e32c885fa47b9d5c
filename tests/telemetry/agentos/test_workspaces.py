"""Tokens and money by workspace."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import INVALID_SPAN, get_current_span

from telemetry import AgentOSTelemetry, LabelError
from telemetry.agentos import catalogue_workspaces
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_models import MODELS
from telemetry.agentos.genai import Target
from telemetry.agentos.tokens import Tokens
from telemetry.agentos.workspace_budgets import WorkspaceBudgets
from telemetry.agentos.workspaces import WorkspaceMetrics
from telemetry.metric import Catalogue
from tests.helpers.samples import Samples, above_zero, labelled, read

CATALOGUE = Catalogue([*MODELS, *catalogue_workspaces.ROWS])
TARGET = Target("p", "openai", "m")


@pytest.fixture
def telemetry() -> Iterator[AgentOSTelemetry]:
    one = AgentOSTelemetry(CATALOGUE, strict=True)
    yield one
    one.shutdown()


@pytest.fixture
def workspaces(telemetry: AgentOSTelemetry) -> WorkspaceMetrics:
    return telemetry.recorder.workspaces


def of(samples: Samples, name: str) -> dict[str, float]:
    """Returns the values of a metric whose only label is the workspace."""
    return {dict(labels)["workspace_id"]: value for (each, labels), value in samples.items() if each == name}


def test_a_wrong_workspace_leaves_nothing_under_way(telemetry: AgentOSTelemetry) -> None:
    """In strict mode an id that is no label stops the attempt before it begins: its span is not current, nothing in flight."""
    with pytest.raises(LabelError), telemetry.recorder.model_attempt(TARGET, "question", 1, workspace="no label"):
        pass
    assert get_current_span() is INVALID_SPAN
    assert above_zero(telemetry, "ccr_in_flight") == {}


def test_an_attempt_counts_for_its_workspace(telemetry: AgentOSTelemetry) -> None:
    """Tokens by kind and cost of an attempt are those of the workspace that pays; without one it is ``unknown``."""
    for workspace in ({"workspace": "acme"}, {}):
        with telemetry.recorder.model_attempt(TARGET, "question", 1, **workspace) as attempt:
            attempt.used(Tokens(10, 5, 15, cached_tokens=4), Decimal("0.25"))
    tokens = {"input": 6.0, "cached": 4.0, "output": 5.0}
    assert above_zero(telemetry, "workspace_") == {
        labelled("workspace_tokens_total", workspace_id=workspace, kind=kind): count
        for workspace in ("acme", "unknown")
        for kind, count in tokens.items()
    } | {labelled("workspace_cost_USD_total", workspace_id=workspace): 0.25 for workspace in ("acme", "unknown")}


def test_counters_of_a_workspace_start_at_zero(telemetry: AgentOSTelemetry) -> None:
    """While its first call is under way, a workspace has its counters at 0, and no cost: no price is known yet."""
    with telemetry.recorder.model_attempt(TARGET, "question", 1, workspace="acme"):
        shown = {key: value for key, value in read(telemetry).items() if key[0].startswith("workspace_")}
    kinds = catalogue_workspaces.WORKSPACE_TOKENS.label("kind").values
    assert shown == {labelled("workspace_tokens_total", workspace_id="acme", kind=kind): 0.0 for kind in kinds} | {
        labelled("workspace_unpriced_total", workspace_id="acme"): 0.0
    }


def test_a_call_without_a_price_is_counted(workspaces: WorkspaceMetrics, telemetry: AgentOSTelemetry) -> None:
    """Calls without a price, or with an incomplete report, are counted by workspace; without a price there is no cost."""
    workspaces.record_usage("acme", {"input": 1}, None, complete=True)
    assert of(read(telemetry), "workspace_cost_USD_total") == {}
    workspaces.record_usage("acme", {"input": 1}, Decimal(1), complete=False)
    workspaces.record_usage("acme", {"input": 1}, Decimal(1), complete=True)
    assert of(read(telemetry), "workspace_unpriced_total") == {"acme": 2.0}
    assert of(read(telemetry), "workspace_cost_USD_total") == {"acme": 2.0}


def test_estimated_tokens_are_counted_apart(workspaces: WorkspaceMetrics, telemetry: AgentOSTelemetry) -> None:
    """They are in no reported count."""
    workspaces.record_estimate("acme", 7, 3)
    assert above_zero(telemetry, "workspace_") == {
        labelled("workspace_estimated_tokens_total", workspace_id="acme", direction="input"): 7.0,
        labelled("workspace_estimated_tokens_total", workspace_id="acme", direction="output"): 3.0,
    }


def test_nothing_is_recorded_where_the_catalogue_has_no_rows() -> None:
    """The contract's catalogue alone shows no workspace's tokens, and takes every call."""
    telemetry = AgentOSTelemetry(AGENTOS, strict=True)
    with telemetry.recorder.model_attempt(TARGET, "question", 1, workspace="acme") as attempt:
        attempt.used(Tokens(1, 1, 2), Decimal(1))
    telemetry.recorder.workspaces.record_estimate("acme", 1, 1)
    assert above_zero(telemetry, "workspace_") == {}
    telemetry.shutdown()


@pytest.mark.parametrize(
    "cost",
    [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1e5000"), Decimal(-1), 0.1, 10**400],
    ids=["nan", "signalling", "infinity", "too large", "negative", "float", "integer too large"],
)
def test_a_cost_that_is_none_leaves_the_sum_as_it_is(cost: Any) -> None:
    """What is no finite, exact cost is dropped and counted: one such call does not end the workspace's series."""
    telemetry = AgentOSTelemetry(CATALOGUE)
    for each in (Decimal("0.25"), cost, Decimal("0.5")):
        telemetry.recorder.workspaces.record_usage("acme", {"input": 1}, each, complete=True)
    samples = read(telemetry)
    telemetry.shutdown()
    assert of(samples, "workspace_cost_USD_total") == {"acme": 0.75}
    assert samples[labelled("workspace_tokens_total", workspace_id="acme", kind="input")] == 3.0
    dropped = [value for (name, labels), value in samples.items() if name == "agentos_telemetry_dropped_total"]
    assert sum(dropped) == 1.0


@pytest.mark.parametrize("workspace", [["acme"], {"id": "acme"}, None, "a\nb", "x" * 10_000])
def test_an_id_of_a_wrong_kind_does_not_reach_the_call(workspace: Any) -> None:
    """A call with an id that is none is measured under ``invalid``, and a kind of tokens that is none as well."""
    telemetry = AgentOSTelemetry(CATALOGUE)
    with telemetry.recorder.model_attempt(TARGET, "question", 1, workspace) as attempt:
        attempt.used(Tokens(1, 1, 2), Decimal(1))
    telemetry.recorder.workspaces.record_usage(workspace, {"audio": 3}, None, complete=True)
    telemetry.recorder.workspaces.record_estimate(workspace, 1, 1)
    tokens = {dict(labels)["kind"]: value for (name, labels), value in above_zero(telemetry, "workspace_tokens").items()}
    costs = of(read(telemetry), "workspace_cost_USD_total")
    telemetry.shutdown()
    assert (tokens, costs) == ({"input": 1.0, "output": 1.0, "invalid": 3.0}, {"invalid": 1.0})


def test_a_hundred_thousand_usages_are_exact(workspaces: WorkspaceMetrics, telemetry: AgentOSTelemetry) -> None:
    """Tokens and money of 100,000 random usages of 50 workspaces are the sums by ``decimal``, each rounded once."""
    chance = random.Random(17)
    tokens: dict[tuple[str, str], int] = {}
    money: dict[str, Decimal] = {}
    for _ in range(100_000):
        workspace = f"w{chance.randrange(50)}"
        kinds = {
            kind: chance.randrange(1, 5000) for kind in ("input", "cached", "output", "reasoning") if chance.random() < 0.8
        }
        cost = Decimal(chance.randrange(10**12)).scaleb(-chance.randrange(9, 16))
        workspaces.record_usage(workspace, kinds, cost, complete=True)
        money[workspace] = money.get(workspace, Decimal(0)) + cost
        for kind, count in kinds.items():
            tokens[workspace, kind] = tokens.get((workspace, kind), 0) + count
    shown = above_zero(telemetry, "workspace_")
    assert of(shown, "workspace_cost_USD_total") == {workspace: float(total) for workspace, total in money.items()}
    assert {key: value for key, value in shown.items() if key[0] == "workspace_tokens_total"} == {
        labelled("workspace_tokens_total", workspace_id=workspace, kind=kind): float(total)
        for (workspace, kind), total in tokens.items()
    }


def test_a_flood_of_workspaces_is_bounded_and_exact(telemetry: AgentOSTelemetry, workspaces: WorkspaceMetrics) -> None:
    """Of 1,000,000 workspaces 1,000 have series of their own; the rest is ``other``, and the whole money is exact."""
    for number in range(1_000_000):
        workspaces.record_usage(f"w{number}", {"input": 1}, Decimal("0.000001"), complete=True)
    money = of(read(telemetry), "workspace_cost_USD_total")
    assert money == {f"w{number}": 0.000001 for number in range(1000)} | {"other": 0.999}
    tokens = above_zero(telemetry, "workspace_tokens")
    assert (len(tokens), sum(tokens.values())) == (1001, 1_000_000.0)
    assert len(workspaces._series) == 1001


def test_budgets_are_shown_with_what_is_left(telemetry: AgentOSTelemetry, workspaces: WorkspaceMetrics, tmp_path: Path) -> None:
    """Budget, remaining money and end of the period are shown for workspaces with a budget, and for no other."""
    given = {"acme": {"USD": "10", "period": "day"}}
    budgets = WorkspaceBudgets(given, tmp_path / "ledger", clock=lambda: 1_000_000_000.0)
    workspaces.use(budgets)
    for workspace, cost in (("acme", "10.01"), ("globex", "1")):
        workspaces.record_usage(workspace, {}, Decimal(cost), complete=True)
    shown = read(telemetry)
    assert of(shown, "workspace_budget_USD") == {"acme": 10.0}
    assert of(shown, "workspace_budget_remaining_USD") == {"acme": -0.01}
    assert of(shown, "workspace_budget_period_end_timestamp_seconds") == {"acme": 1_000_080_000.0}
    budgets.close()


def test_without_budgets_there_are_no_series_of_them(telemetry: AgentOSTelemetry, workspaces: WorkspaceMetrics) -> None:
    """No series, not even one at 0 or at infinity."""
    workspaces.record_usage("acme", {}, Decimal(1), complete=True)
    assert [key for key in read(telemetry) if key[0].startswith("workspace_budget")] == []


def test_budgets_over_the_limit_are_shown_together(tmp_path: Path) -> None:
    """Of three budgets and room for one workspace, the other two are ``other``: sums of money, and the earliest end."""
    telemetry = AgentOSTelemetry(CATALOGUE, limits={"workspace_id": 1})
    given = {"a": {"USD": 1, "period": "month"}, "b": {"USD": 2, "period": "month"}, "c": {"USD": 4, "period": "day"}}
    budgets = WorkspaceBudgets(given, tmp_path / "ledger", clock=lambda: 1_000_000_000.0)
    telemetry.recorder.workspaces.use(budgets)
    for workspace in ("a", "b", "c"):
        telemetry.recorder.workspaces.record_usage(workspace, {}, Decimal("0.5"), complete=True)
    shown = read(telemetry)
    assert of(shown, "workspace_budget_USD") == {"a": 1.0, "other": 6.0}
    assert of(shown, "workspace_budget_remaining_USD") == {"a": 0.5, "other": 5.0}
    assert of(shown, "workspace_budget_period_end_timestamp_seconds") == {"a": 1_001_894_400.0, "other": 1_000_080_000.0}
    budgets.close()
    telemetry.shutdown()


def test_a_ledger_that_was_never_read_shows_no_remaining_money(tmp_path: Path) -> None:
    """The budget stays, the remaining money is absent rather than wrong, and the failure is counted."""
    telemetry = AgentOSTelemetry(CATALOGUE)
    budgets = WorkspaceBudgets({"acme": {"USD": 1, "period": "day"}}, tmp_path / "missing" / "ledger")
    telemetry.recorder.workspaces.use(budgets)
    telemetry.recorder.workspaces.record_usage("acme", {}, Decimal(1), complete=True)
    read(telemetry)
    shown = read(telemetry)
    assert of(shown, "workspace_budget_USD") == {"acme": 1.0}
    assert of(shown, "workspace_budget_remaining_USD") == {}
    assert shown[labelled("agentos_telemetry_state_failures_total", reason="unreadable")] > 0
    (tmp_path / "missing").mkdir()
    assert of(read(telemetry), "workspace_budget_remaining_USD") == {"acme": 0.0}
    budgets.close()
    telemetry.shutdown()
