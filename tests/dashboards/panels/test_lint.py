"""The committed dashboards keep every rule of the lint, and a small change breaks each rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards.panels.lint import RULES, problems

ROOT = Path(__file__).parents[3]
COMMITTED = (ROOT / "dashboards/agentos-dashboard.json").read_text()
MODELS = (ROOT / "dashboards/agentos-models.json").read_text()
AGENTS = (ROOT / "dashboards/agentos-agents.json").read_text()
RUNTIME = (ROOT / "dashboards/agentos-runtime.json").read_text()

JsonObject = dict[str, Any]


def _panel(board: JsonObject, title: str = "Request Rate by Agent") -> JsonObject:
    found: JsonObject = next(panel for panel in board["panels"] if panel["title"] == title)
    return found


def _target(board: JsonObject, title: str = "Request Rate by Agent") -> JsonObject:
    found: JsonObject = _panel(board, title)["targets"][0]
    return found


def _variable(board: JsonObject, name: str) -> JsonObject:
    found: JsonObject = next(variable for variable in board["templating"]["list"] if variable["name"] == name)
    return found


def _replace(board: JsonObject, title: str, old: str, new: str) -> None:
    target = _target(board, title)
    assert old in target["expr"]
    target["expr"] = target["expr"].replace(old, new)


def _hidden(board: JsonObject, query: str) -> None:
    _variable(board, "agent").update(hide=2, query={"query": query})


P95 = "A2A p95 Latency"
RATE = "Request Rate by Agent"

BREAKS: list[tuple[str, str, Callable[[JsonObject], object]]] = [
    ("template-datasource", "there is no variable", lambda b: _variable(b, "datasource").update(type="constant")),
    ("template-job", "must have a default", lambda b: _variable(b, "job").update(multi=True)),
    ("template-job", "must have a default", lambda b: _variable(b, "job").pop("current")),
    ("template-multi", "several values", lambda b: _variable(b, "agent").update(multi=False)),
    ("template-multi", "several values", lambda b: _variable(b, "agent").update(allValue=".+")),
    ("template-multi", "ask for the job", lambda b: _variable(b, "agent")["query"].update(query="label_values(x, agent)")),
    ("template-hidden", "title of a collapsed row", lambda b: _variable(b, "agent").update(hide=2)),
    ("template-hidden", "ask for the job", lambda b: _hidden(b, "label_values(x, agent)")),
    ("template-used", "there is no variable `team`", lambda b: _target(b).update(expr='x{job="$job", team=~"$team"}')),
    ("template-used", "`spare` is used nowhere", lambda b: _variable(b, "provider").update(name="spare")),
    ("template-refresh", "is not refreshed", lambda b: _variable(b, "agent").update(refresh=1)),
    ("panel-datasource", RATE, lambda b: _panel(b)["datasource"].update(uid="PBFA97CFB590B2093")),
    ("panel-datasource", "agent", lambda b: _variable(b, "agent").pop("datasource")),
    ("panel-title-description", "lacks a title", lambda b: _panel(b).pop("description")),
    ("panel-title-description", "two panels are called", lambda b: _panel(b).update(title="Active Tasks")),
    ("panel-units", RATE, lambda b: _panel(b)["fieldConfig"]["defaults"].update(unit="requests")),
    ("panel-place", "lies on", lambda b: _panel(b)["gridPos"].update(x=6)),
    ("panel-place", "leaves the grid", lambda b: _panel(b)["gridPos"].update(x=20)),
    ("panel-place", "have the id", lambda b: _panel(b).update(id=1)),
    ("panel-targets", RATE, lambda b: _panel(b).update(targets=[])),
    ("panel-targets", RATE, lambda b: _panel(b)["targets"].append(_target(b))),
    ("target-job", "lacks job", lambda b: _replace(b, RATE, 'job="$job", ', "")),
    ("target-job", "lacks job", lambda b: _replace(b, RATE, 'job="$job"', 'job="agentos"')),
    ("target-rate-interval", "the window is 1m", lambda b: _replace(b, RATE, "$__rate_interval", "1m")),
    ("target-rate-interval", "is instant", lambda b: _replace(b, P95, "5m", "$__rate_interval")),
    ("target-le", "compared as text", lambda b: _replace(b, RATE, 'job="$job"', 'job="$job", le="1.0"')),
    ("target-number", "NaN", lambda b: _replace(b, P95, " >= 0", "")),
    ("target-number", "NaN", lambda b: _replace(b, P95, " >= 0", '\nand\nsum(x{job="$job"}) >= 0')),
    ("target-legend", "does not name", lambda b: _target(b).update(legendFormat="{{provider}}")),
    ("target-legend", "does not name", lambda b: _target(b).pop("legendFormat")),
    ("target-exemplars", "shows no exemplars", lambda b: _target(b, "Request Latency by Provider").update(exemplar=False)),
]


@pytest.mark.parametrize("committed", [COMMITTED, MODELS, AGENTS, RUNTIME], ids=["dashboard", "models", "agents", "runtime"])
def test_a_committed_dashboard_keeps_every_rule(committed: str) -> None:
    """The lint finds no fault in the committed dashboards."""
    assert problems(committed) == []


@pytest.mark.parametrize(("rule", "says", "change"), BREAKS, ids=[f"{n}-{rule}" for n, (rule, _, _) in enumerate(BREAKS)])
def test_a_change_that_breaks_a_rule_is_reported(rule: str, says: str, change: Callable[[JsonObject], object]) -> None:
    """The lint names the broken rule and the fault."""
    board = json.loads(COMMITTED)
    change(board)
    assert any(problem.startswith(f"{rule}: ") and says in problem for problem in problems(json.dumps(board)))


def test_every_rule_is_broken_by_a_test() -> None:
    """Each rule of the lint has a change above that breaks it."""
    assert {rule.__name__.replace("_", "-") for rule in RULES} == {rule for rule, _, _ in BREAKS}
