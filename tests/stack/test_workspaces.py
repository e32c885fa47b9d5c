"""Tokens, money and budgets of workspaces over four workers of the real service."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.services.providers.builtin import tokens
from stack.servers.process import until
from stack.servers.service import GUNICORN, UVICORN, Service

PRICES = {"per": 1, "models": {"builtin-1": {"input": "0.01", "output": "0.0001"}}}
BUDGETS = {"acme": {"USD": "3.00", "period": "month"}, "zen": {"USD": "100", "period": "week"}}
REQUESTS = 200
SERVERS = pytest.mark.parametrize("server", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
Start = Callable[..., Service]


@pytest.fixture
def workers(service: Start, tmp_path: Path) -> Start:
    """Starts the service with four workers, prices and budgets."""

    def start(server: tuple[str, ...] = UVICORN, **more: str) -> Service:
        (tmp_path / "prices.json").write_text(json.dumps(PRICES))
        settings = {
            "AGENTOS_RATE_LIMIT": "off",
            "AGENTOS_CLIENT_RATE_LIMIT": "off",
            "AGENTOS_AGENT_METRICS": "on",
            "AGENTOS_PRICES": str(tmp_path / "prices.json"),
            "AGENTOS_BUDGETS": json.dumps(BUDGETS),
            "AGENTOS_STATE_DIRECTORY": str(tmp_path / "state"),
            **more,
        }
        started = service(settings, server=server, workers=4)
        until("four workers", lambda: len(list((tmp_path / "state").glob("*/*-*.state"))) >= 4)
        return started

    return start


def shown(service: Service) -> dict[str, dict[str, float]]:
    """Scrapes any of the workers; returns name -> workspace -> value of the metrics without another label."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(service.metrics()):
        for sample in family.samples:
            if sample.name.startswith("workspace_") and set(sample.labels) == {"workspace_id"}:
                found.setdefault(sample.name, {})[sample.labels["workspace_id"]] = sample.value
    return found


def spend(service: Service, count: int, first: int = 0) -> dict[str, Decimal]:
    """Lets herald announce texts of different lengths, all at once; returns what that costs by workspace."""

    def one(number: int) -> tuple[str, Decimal]:
        workspace, text = ("acme", "zen")[number % 2], " ".join(["word"] * (number % 7 + 1))
        answer = service.run("herald", text, operation="announce", workspace=workspace)
        written = len(tokens(answer.raise_for_status().json()["output"]))
        return workspace, len(tokens(text)) * Decimal("0.01") + written * Decimal("0.0001")

    with ThreadPoolExecutor(count) as threads:
        outcomes = list(threads.map(one, range(first, first + count)))
    return {each: sum((cost for workspace, cost in outcomes if workspace == each), Decimal(0)) for each in BUDGETS}


def left(spent: dict[str, Decimal]) -> dict[str, float]:
    return {workspace: float(Decimal(budget["USD"]) - spent[workspace]) for workspace, budget in BUDGETS.items()}


@SERVERS
def test_what_is_left_is_exact_after_concurrent_requests(workers: Start, server: tuple[str, ...]) -> None:
    """After 200 requests at once, every worker shows what is left of the budgets: the sum by ``decimal``, below 0 too."""
    service = workers(server)
    assert shown(service)["workspace_budget_remaining_USD"] == {"acme": 3.0, "zen": 100.0}
    spent = spend(service, REQUESTS)
    assert spent["acme"] > 3
    until("the last spendings", lambda: shown(service)["workspace_budget_remaining_USD"] == left(spent))
    for _ in range(12):
        found = shown(service)
        assert found["workspace_budget_remaining_USD"] == left(spent)
        assert found["workspace_budget_USD"] == {"acme": 3.0, "zen": 100.0}
        assert {name: round(value, 9) for name, value in found["workspace_cost_USD_total"].items()} == {
            workspace: float(cost) for workspace, cost in spent.items()
        }
        assert found["workspace_unpriced_total"] == {"acme": 0, "zen": 0}
        assert found["workspace_budget_period_end_timestamp_seconds"].keys() == BUDGETS.keys()


def test_killed_workers_and_a_restart_keep_what_was_spent(workers: Start, tmp_path: Path) -> None:
    """With a ledger of its own path, budgets go on when all workers are killed, and when the service starts anew."""
    service = workers(AGENTOS_LEDGER=str(tmp_path / "ledger"))
    spent = spend(service, 40)
    until("the last spendings", lambda: shown(service)["workspace_budget_remaining_USD"] == left(spent))
    killed = service.workers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until("the new workers", lambda: len(set(service.workers()) - set(killed)) == 4)
    until("an answer", lambda: _answers(service))
    more = spend(service, 40, 40)
    spent = {workspace: cost + more[workspace] for workspace, cost in spent.items()}
    until("the last spendings", lambda: shown(service)["workspace_budget_remaining_USD"] == left(spent))
    service.stop()
    service.start()
    assert shown(service)["workspace_budget_remaining_USD"] == left(spent)


def _answers(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url}/health/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
