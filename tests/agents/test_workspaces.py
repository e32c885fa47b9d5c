"""Tokens, money and budgets of the workspaces that requests name, over real sockets."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agents.main import create_app
from agents.observability.selection import CatalogueSelection
from agents.services.providers.builtin import tokens
from agents.settings import Settings, SettingsError
from tests.helpers.service import RunningService, StartService, running_service

ACME, ZEN = "acme-key-0123456789", "zen-key-0123456789ab"
PRICES = {"per": 1, "models": {"builtin-1": {"input": "0.01", "output": "0.0001"}}}
BUDGETS = '{"acme": {"USD": "10", "period": "month"}, "unknown": {"USD": "1.00", "period": "month"}}'


@pytest.fixture
def priced(start: StartService, tmp_path: Path) -> StartService:
    """Starts services with prices, whose metrics of agents are on."""
    (tmp_path / "prices.json").write_text(json.dumps(PRICES))

    def started(**settings: Any) -> RunningService:
        return start(agent_metrics=True, prices=str(tmp_path / "prices.json"), **settings)

    return started


def announced(service: RunningService, text: str, **headers: str) -> Decimal:
    """Lets herald announce a text; returns what that costs."""
    body = {"input": text, "operation": "announce"}
    answer = service.client.post("/agents/herald/runs", json=body, headers=headers)
    assert answer.status_code == 200
    written = tokens(answer.json()["output"])
    return len(tokens(text)) * Decimal("0.01") + len(written) * Decimal("0.0001")


def money(service: RunningService, name: str = "workspace_cost_USD_total") -> dict[str, float]:
    return {dict(labels)["workspace_id"]: value for labels, value in service.samples(name).items()}


def test_the_workspace_of_a_request_pays(priced: StartService) -> None:
    """Tokens and cost count for the workspace of the header, and for ``unknown`` where there is none."""
    service = priced()
    acme = announced(service, "one two three", **{"X-Workspace-Id": "acme"})
    unknown = announced(service, "one")
    assert money(service) == {"acme": float(acme), "unknown": float(unknown)}
    assert service.value("workspace_tokens_total", workspace_id="acme", kind="input") == 3
    assert service.value("workspace_unpriced_total", workspace_id="acme") == 0


def test_with_keys_the_workspace_of_the_key_pays(priced: StartService) -> None:
    """A key's workspace pays, with or without the header, and no caller can let another one pay."""
    service = priced(api_keys=json.dumps({"acme": ACME, "zen": ZEN}))
    acme = announced(service, "one two", Authorization=f"Bearer {ACME}")
    zen = announced(service, "one", Authorization=f"Bearer {ZEN}", **{"X-Workspace-Id": "zen"})
    body = {"input": "one two three", "operation": "announce"}
    theirs = {"Authorization": f"Bearer {ZEN}", "X-Workspace-Id": "acme"}
    assert service.client.post("/agents/herald/runs", json=body, headers=theirs).status_code == 403
    assert money(service) == {"acme": float(acme), "zen": float(zen)}


def test_an_answer_from_the_cache_costs_nothing(priced: StartService) -> None:
    """Navi asks a model once for a workspace's question; the second answer is the cached one."""
    service = priced()
    for _ in range(2):
        assert service.run("navi", "how much?", "acme", operation="query").status_code == 200
    assert service.value("workspace_tokens_total", workspace_id="acme", kind="input") == 3


def test_without_prices_calls_are_counted_and_nothing_costs(start: StartService) -> None:
    """There is no cost, not even 0; the calls are counted as unpriced."""
    service = start(agent_metrics=True)
    announced(service, "one", **{"X-Workspace-Id": "acme"})
    assert money(service) == {}
    assert money(service, "workspace_unpriced_total") == {"acme": 1}


def test_the_switch_is_off_unless_asked_for(start: StartService) -> None:
    """The contract's output has nothing of workspaces but the decisions of the limiter, also with budgets."""
    service = start(budgets=BUDGETS)
    announced(service, "one", **{"X-Workspace-Id": "acme"})
    assert "\nworkspace_" not in service.client.get("/metrics").text


def test_a_budget_goes_on_after_a_restart(priced: StartService, tmp_path: Path) -> None:
    """With a ledger of one's own path a new service continues the period; without one it starts anew."""
    spent = Decimal(0)
    for _ in range(2):
        with_path = priced(budgets=BUDGETS, ledger=str(tmp_path / "ledger"))
        spent += announced(with_path, "one two three", **{"X-Workspace-Id": "acme"})
        left = money(with_path, "workspace_budget_remaining_USD")
        assert left == {"acme": float(10 - spent), "unknown": 1.0}
    without = priced(budgets=BUDGETS)
    assert money(without, "workspace_budget_remaining_USD") == {"acme": 10.0, "unknown": 1.0}


def test_counters_of_a_workspace_with_a_budget_start_at_zero(priced: StartService, start: StartService) -> None:
    """They are there before the first call; the cost only where there are prices."""
    for service, cost in (
        (priced(budgets=BUDGETS), {"acme": 0, "unknown": 0}),
        (start(agent_metrics=True, budgets=BUDGETS), {}),
    ):
        assert money(service) == cost
        assert money(service, "workspace_unpriced_total") == {"acme": 0, "unknown": 0}
        assert service.value("workspace_tokens_total", workspace_id="acme", kind="input") == 0


def test_an_agent_that_is_called_by_another_counts_for_the_same_workspace(priced: StartService) -> None:
    """Herald's brief lets navi ask a model, and asks one itself: both count for the workspace of the request."""
    service = priced(model_metrics=True)
    assert service.run("herald", "what is new?", "acme", operation="brief").status_code == 200
    calls = service.counted("ccr_requests_total")
    assert sum(calls.values()) == 2
    assert money(service).keys() == {"acme"}
    assert sum(service.samples("workspace_tokens_total").values()) == sum(service.samples("ccr_model_tokens_total").values())
    assert sum(money(service).values()) == sum(service.samples("ccr_cost_USD_total").values())


def test_a_broken_ledger_fails_no_request(priced: StartService, tmp_path: Path) -> None:
    """Calls are answered and counted; what is left of the budgets is not shown, and the failure is counted."""
    (tmp_path / "ledger").write_bytes(b"no database" * 1000)
    service = priced(budgets=BUDGETS, ledger=str(tmp_path / "ledger"))
    acme = announced(service, "one two three", **{"X-Workspace-Id": "acme"})
    assert money(service) == {"acme": float(acme), "unknown": 0}
    assert money(service, "workspace_budget_USD") == {"acme": 10.0, "unknown": 1.0}
    assert money(service, "workspace_budget_remaining_USD") == {}
    assert service.counted("agentos_telemetry_state_failures_total").keys() == {"torn"}


def test_stopping_saves_what_was_spent_and_leaves_no_thread(tmp_path: Path) -> None:
    """The ledger's thread has ended when the service has, and what was spent last is in the file."""
    (tmp_path / "prices.json").write_text(json.dumps(PRICES))
    ledger = tmp_path / "ledger"
    settings = Settings(agent_metrics=True, prices=str(tmp_path / "prices.json"), budgets=BUDGETS, ledger=str(ledger))
    with running_service(settings) as service:
        spent = announced(service, "one two three", **{"X-Workspace-Id": "acme"})
        assert "agentos-ledger" in [thread.name for thread in threading.enumerate()]
    assert "agentos-ledger" not in [thread.name for thread in threading.enumerate()]
    with closing(sqlite3.connect(ledger)) as program:
        ((workspace, amount),) = program.execute("SELECT workspace, amount FROM spent").fetchall()
    assert (workspace, Decimal(amount)) == ("acme", spent)


def test_budgets_of_a_file_are_read_again(priced: StartService, tmp_path: Path) -> None:
    """A budget that is written into the file is shown by the next scrape, and a removed one is gone."""
    path = tmp_path / "budgets.json"
    path.write_text("{}")
    service = priced(budgets=str(path))
    assert money(service, "workspace_budget_USD") == {}
    path.write_text(BUDGETS)
    money(service, "workspace_budget_remaining_USD")
    assert money(service, "workspace_budget_USD") == {"acme": 10.0, "unknown": 1.0}
    path.write_text("{}")
    money(service, "workspace_budget_remaining_USD")
    assert money(service, "workspace_budget_USD") == {}


def test_workspaces_with_a_budget_have_series_of_their_own() -> None:
    """They are known values: a flood of other workspaces does not push them into ``other``."""
    assert CatalogueSelection(Settings(agent_metrics=True, budgets=BUDGETS), {}).known["workspace_id"] == ("acme", "unknown")


def test_a_file_that_broke_since_it_was_checked_stops_the_start(priced: StartService, tmp_path: Path) -> None:
    """The start fails with the setting's name."""
    path = tmp_path / "budgets.json"
    path.write_text("{}")
    settings = Settings(agent_metrics=True, budgets=str(path))
    path.unlink()
    with pytest.raises(SettingsError, match=r"^AGENTOS_BUDGETS is '.*budgets\.json': it cannot be read \(No such file"):
        create_app(settings)
