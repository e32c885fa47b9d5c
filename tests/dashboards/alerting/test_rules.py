"""Every rule and alert has unit tests, and every alert its texts, links and runbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.config import (
    BUDGET_LOW,
    BUDGET_PACE,
    DESCRIPTORS_HIGH,
    FIRST_TOKEN,
    INVOCATION,
    LOOP_BLOCKED,
    LOOP_LAG,
    LOOP_STUCK,
    QUOTA_LOW,
    SLO_DAYS,
    SPENDING,
)

ROOT = Path(__file__).parents[3]
RULES = ROOT / "dashboards/rules"


def _rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((RULES / name).read_text())["groups"] for rule in group["rules"]]


ALERTS = _rules("agentos-alerts.yml")
RECORDS = _rules("agentos-recording.yml")
TESTS = [test for file in RULES.glob("tests/*.yml") for test in yaml.safe_load(file.read_text())["tests"]]


def _cases(alert: dict[str, Any]) -> list[dict[str, Any]]:
    """The unit tests' expectations for this alert and its window."""
    window = alert["labels"].get("window")
    named = [case for test in TESTS for case in test.get("alert_rule_test", []) if case["alertname"] == alert["alert"]]
    return [
        case
        for case in named
        if window is None or not case["exp_alerts"] or case["exp_alerts"][0]["exp_labels"]["window"] == window
    ]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"] + alert["labels"].get("window", ""))
def test_an_alert_has_a_case_where_it_fires_and_one_where_not(alert: dict[str, Any]) -> None:
    """Each alert has a unit test in which it fires, and one in which it stays silent."""
    assert any(case["exp_alerts"] for case in _cases(alert))
    window = alert["labels"].get("window")
    if window is None:
        expected = [
            [case["exp_alerts"] for case in test["alert_rule_test"]]
            for test in TESTS
            if test["name"].startswith(f"{alert['alert']}: ")
        ]
        assert any(not any(alerts) for alerts in expected), "no unit test has it silent from beginning to end"
    else:
        silent = f'count(ALERTS{{alertname="{alert["alert"]}", window="{window}"}}) or vector(0)'
        assert any(case["expr"] == silent for test in TESTS for case in test.get("promql_expr_test", []))


SHARES = [record for record in RECORDS if "ratio_rate" in record["record"]]
MONEY = [record for record in RECORDS if record not in SHARES]


@pytest.mark.parametrize("record", MONEY, ids=lambda record: record["record"])
def test_a_record_about_money_has_a_case_with_its_value_and_one_without(record: dict[str, Any]) -> None:
    """Each recording rule about money has a unit test with its value, and one without workspaces and without a sample."""
    names = [test["name"] for test in TESTS]
    assert f"{record['record']}: its value" in names
    assert f"{record['record']}: no sample without workspaces" in names


@pytest.mark.parametrize("record", SHARES, ids=lambda record: record["record"])
def test_a_record_has_a_case_with_its_value_and_one_without_calls(record: dict[str, Any]) -> None:
    """Each recording rule has a unit test with its value, and one without traffic and without a sample."""
    names = [test["name"] for test in TESTS]
    assert f"{record['record']}: a quarter" in names
    assert f"{record['record']}: no sample without calls" in names


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"] + alert["labels"].get("window", ""))
def test_an_alert_has_a_severity_texts_links_and_a_runbook(alert: dict[str, Any]) -> None:
    """Each alert has a severity, a summary, a description, a dashboard link, and a runbook page that starts with its name."""
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert set(alert["annotations"]) == {"summary", "description", "dashboard_url", "runbook_url"}
    page = (ROOT / "docs/runbooks" / alert["annotations"]["runbook_url"].rsplit("/", 1)[1]).read_text()
    assert page.startswith(f"# {alert['alert']} (")
    assert all(part in page for part in ("**Means:**", "**How bad:**", "## Look at", "## Do"))


def test_descriptions_carry_the_values() -> None:
    """Every description shows a value or an instance, except that of the alert on an absent service."""
    silent = {alert["alert"] for alert in ALERTS if "{{ $" not in alert["annotations"]["description"]}
    assert silent == {"AgentOSDown"}


def test_pages_are_for_what_users_feel() -> None:
    """Only an absent service, a fast burning objective and a worker that hangs page the person on call."""
    assert {alert["alert"] for alert in ALERTS if alert["labels"]["severity"] == "page"} == {
        "AgentOSDown",
        "A2AErrorBudgetBurn",
        "A2ALatencyBudgetBurn",
        "EventLoopStuck",
    }


def test_runbooks_name_the_numbers_that_are_set() -> None:
    """The runbooks' numbers for budgets, quotas and time limits are those of ``config.py``."""
    page = {path.stem: path.read_text() for path in (ROOT / "docs/runbooks").glob("*.md")}
    assert f"{BUDGET_PACE:g} times too fast" in page["WorkspaceBudgetBurn"]
    assert f"less than {BUDGET_LOW:.0%}".replace("%", " %") in page["WorkspaceBudgetLow"]
    assert f"less than {QUOTA_LOW:.0%}".replace("%", " %") in page["CCRQuotaLow"]
    many, long = f"more than {INVOCATION.budget:.0%} of this agent's", f"took longer than {INVOCATION.under:g} s"
    slow = f"{many} invocations in the last 10 minutes {long}"
    assert slow.replace("%", " %") in page["AgentInvocationsSlow"]
    assert (
        f"more than {SPENDING.rate:g} times what the budget ({SPENDING.usd:g} USD for {SLO_DAYS} days)"
        in (page["CCRCostBudgetBurn"])
    )
    assert f"gone in {SLO_DAYS / SPENDING.rate:g} days" in page["CCRCostBudgetBurn"]
    assert f"blocked for more than {LOOP_STUCK:g} seconds" in page["EventLoopStuck"]
    assert f"blocked for more than {LOOP_BLOCKED:g} seconds" in page["EventLoopBlocked"]
    words = {0.5: "half"}
    assert f"more than\n{words[LOOP_LAG]} a second late" in page["EventLoopBlocked"]
    assert f"more than {words[DESCRIPTORS_HIGH]} of the file descriptors" in page["FileDescriptorsLow"]
    late = f"more than {FIRST_TOKEN.budget:.0%} of this provider's streams took longer than {FIRST_TOKEN.under:g} s"
    assert late.replace("%", " %") in page["CCRFirstTokenSlow"]


def test_burn_rates_are_those_of_the_workbook() -> None:
    """Each objective has the four pairs of windows, at 14.4, 6, 3 and 1 times the budget."""
    for name, budget in (("A2AErrorBudgetBurn", "0.005"), ("A2ALatencyBudgetBurn", "0.05")):
        expressions = [alert["expr"] for alert in ALERTS if alert["alert"] == name]
        found = [
            (line.split("ratio_rate")[1].split(" ")[0], line.split("> ")[1])
            for expression in expressions
            for line in expression.splitlines()
            if "ratio_rate" in line
        ]
        assert found == [
            ("1h", "14.4"),
            ("5m", "14.4"),
            ("6h", "6"),
            ("30m", "6"),
            ("1d", "3"),
            ("2h", "3"),
            ("3d", "1"),
            ("6h", "1"),
        ]
        assert all(f"/ {budget} >" in expression for expression in expressions)


def test_every_runbook_is_listed_and_belongs_to_an_alert() -> None:
    """The list of runbooks names each page once, and each alert has a page."""
    pages = {page.stem for page in (ROOT / "docs/runbooks").glob("*.md")} - {"README"}
    assert pages == {alert["alert"] for alert in ALERTS}
    contents = (ROOT / "docs/runbooks/README.md").read_text()
    assert all(contents.count(f"| [{page}]({page}.md) |") == 1 for page in pages)
