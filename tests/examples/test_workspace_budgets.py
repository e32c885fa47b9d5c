"""The example of budgets without the service."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest

from tests.helpers.example_process import line_filter


def ask(process: subprocess.Popen[str], line: str, answer: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    assert process.stdout.readline() == f"{answer}\n"


def test_a_budget_goes_on_in_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two words cost 2.4 cents each time; what is left of half a dollar is exact, also for a second process."""
    monkeypatch.setenv("LEDGER", str(tmp_path / "ledger"))
    for left in ("0.476", "0.452"):
        with line_filter("workspace_budgets.py") as (process, url):
            ask(process, "acme how much?", "HOW MUCH?")
            ask(process, "globex one", "ONE")
            lines = httpx.get(url).text.splitlines()
        assert f'workspace_budget_remaining_USD{{workspace_id="acme"}} {left}' in lines
        assert 'workspace_cost_USD_total{workspace_id="acme"} 0.024' in lines
        assert 'workspace_cost_USD_total{workspace_id="globex"} 0.012' in lines
        assert 'workspace_tokens_total{kind="input",workspace_id="acme"} 2' in lines
