"""The committed dashboards have the panels, variables and links that SPEC.md and operators expect."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from telemetry.agentos import catalogue_agents, catalogue_models, catalogue_workspaces
from telemetry.metric import Metric
from telemetry.runtime import RUNTIME

ROOT = Path(__file__).parents[3]

PANELS = {
    "Overview": [
        "A2A Requests (5m)",
        "A2A p95 Latency",
        "A2A Error Rate",
        "Active Tasks",
        "CCR Tokens (1h)",
        "Rate Limit Denials",
    ],
    "A2A Request Metrics": [
        "Request Rate by Agent",
        "Request Duration Percentiles (p50, p95, p99)",
        "Active Tasks by Agent",
        "Success vs Error Rate",
    ],
    "CCR Provider Metrics": [
        "Request Rate by Provider",
        "Token Usage by Provider",
        "Request Latency by Provider",
        "Requests by Task Type",
    ],
    "Rate Limiting & Cache": ["Rate Limit Decisions", "Cache Hit/Miss Rate", "Cache Hit Ratio", "Cache Latency by Operation"],
}

MODEL_PANELS = {
    "Model Calls Now": [
        "Unanswered Requests",
        "Failed Attempts",
        "First Token p95",
        "Open Breakers",
        "Waiting Calls",
        "Cost (1h)",
    ],
    "Attempts": ["Attempts per Request", "Errors by Reason", "Retries by Provider", "Fall-backs"],
    "Provider Health": [
        "Time to First Token",
        "Calls in Flight",
        "Calls Waiting",
        "Breaker State",
        "Breaker Openings",
        "Skipped Calls",
    ],
    "Tokens & Cost": ["Tokens by Kind", "Tokens by Model", "Cost by Model", "Unpriced Calls"],
    "A2A Details": ["Task States", "A2A Error Codes", "Time to First Event", "Request Size"],
    "Streams (providers: ${streaming})": ["Inter-token Latency", "Tokens per Second", "Estimated Tokens"],
    "Provider Quota (providers: ${quotas})": ["Quota Remaining", "Quota"],
}


AGENT_PANELS = {
    "Agents Now": [
        "Agent Invocations (5m)",
        "Failed Invocations",
        "Failed Tool Calls",
        "MCP Servers Down",
        "Workspaces' Cost (1h)",
        "Overspent Budgets",
    ],
    "Agents and Tools": ["Agents and Their Tools (1h)"],
    "Agents": ["Invocations by Agent", "Invocation Latency", "Failed Invocations by Error", "Calls per Invocation"],
    "Tools": ["Tool Calls by Tool", "Tool Latency", "Tool Errors", "Slowest Tools (1h)"],
    "Workspaces": [
        "Cost by Workspace",
        "Tokens by Workspace",
        "Top Ten by Cost (24h)",
        "Top Ten by Tokens (24h)",
        "Estimated and Reported Tokens",
        "Unpriced Calls by Workspace",
    ],
    "Budgets (workspaces: ${budgets})": ["Spent of the Budget", "Remaining Share", "Budget Remaining", "Budgets"],
    "MCP (servers: ${mcp_servers})": [
        "MCP Servers",
        "MCP Client Operations",
        "MCP Client Latency",
        "MCP Client Errors",
        "MCP Server Operations",
        "MCP Server Latency",
        "MCP Server Errors",
        "MCP Sessions",
        "MCP Sessions Ended",
    ],
}

RUNTIME_PANELS = {
    "Process and Runtime Now": [
        "Blocked Now",
        "Event Loop Lag p99",
        "Workers",
        "Since Last Start",
        "Memory",
        "File Descriptors",
    ],
    "Event Loops": ["Event Loop Lag (p50, p99)", "Event Loop Lag p99 by Instance", "Event Loop Blocked"],
    "Worker Processes": ["Workers by Instance", "Worker Age", "Memory by Worker"],
    "Process": ["CPU by Instance", "Memory by Instance", "File Descriptors by Instance", "Garbage Collections"],
}


def _loaded(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / f"dashboards/{name}.json").read_text())
    return loaded


def _all(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows and panels in their order, those of collapsed rows too."""
    return [one for panel in board["panels"] for one in (panel, *panel.get("panels", ()))]


def _asks(board: dict[str, Any], row: Metric) -> bool:
    """Whether a panel of the dashboard queries the metric."""
    asked = " ".join(target["expr"] for panel in _all(board) for target in panel.get("targets", []))
    return bool(re.search(rf"\b{row.prometheus_name}(_bucket|_sum|_count)?{{", asked))


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return _loaded("agentos-dashboard")


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return _loaded("agentos-models")


@pytest.fixture(scope="module")
def agents() -> dict[str, Any]:
    return _loaded("agentos-agents")


@pytest.fixture(scope="module")
def runtime() -> dict[str, Any]:
    return _loaded("agentos-runtime")


@pytest.fixture(params=["agentos-dashboard", "agentos-models", "agentos-agents", "agentos-runtime"])
def each(request: pytest.FixtureRequest) -> dict[str, Any]:
    return _loaded(request.param)


def test_the_22_panels_are_in_their_order(board: dict[str, Any]) -> None:
    """Four rows and their panels have the agreed titles, in the agreed order, 22 in all."""
    found = [panel["title"] for panel in board["panels"]]
    assert found == [title for row, titles in PANELS.items() for title in (row, *titles)]
    assert len(found) == 22


def test_panels_have_the_agreed_types(board: dict[str, Any]) -> None:
    """There are four rows, six stats, eleven time series and one gauge, which is the hit ratio."""
    types = [panel["type"] for panel in board["panels"]]
    assert {kind: types.count(kind) for kind in types} == {"row": 4, "stat": 6, "timeseries": 11, "gauge": 1}
    assert [panel["title"] for panel in board["panels"] if panel["type"] == "gauge"] == ["Cache Hit Ratio"]


def test_variables_are_the_agreed_ones(board: dict[str, Any]) -> None:
    """The variables are in their order, the job is agentos, and every label starts with All."""
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables) == ["datasource", "traces", "job", "agent", "operation", "provider", "workspace_id"]
    assert variables["job"]["current"]["value"] == "agentos"
    assert [variables[name]["current"]["value"] for name in list(variables)[3:]] == [["$__all"]] * 4


def test_the_second_dashboard_has_its_panels_in_their_order(models: dict[str, Any]) -> None:
    """Seven rows and their panels have their titles in their order, and none has the title of a panel of the first."""
    assert [panel["title"] for panel in _all(models)] == [
        title for row, titles in MODEL_PANELS.items() for title in (row, *titles)
    ]
    assert not {title for titles in MODEL_PANELS.values() for title in titles} & {
        title for titles in PANELS.values() for title in titles
    }


@pytest.mark.parametrize("row", catalogue_models.ROWS, ids=lambda row: row.name)
def test_every_model_metric_is_on_the_second_dashboard(models: dict[str, Any], row: Metric) -> None:
    """A panel of the second dashboard queries each metric of the model catalogue."""
    assert _asks(models, row)


def test_the_second_dashboards_variables(models: dict[str, Any]) -> None:
    """The variables are both data sources, the job, and provider, model and agent, which start with All."""
    variables = {variable["name"]: variable for variable in models["templating"]["list"]}
    assert list(variables) == ["datasource", "traces", "job", "provider", "model", "agent", "streaming", "quotas"]
    assert [variables[name]["current"]["value"] for name in list(variables)[3:6]] == [["$__all"]] * 3


def test_a_fall_back_is_narrowed_by_the_provider_that_did_not_answer(models: dict[str, Any]) -> None:
    """The variable of the providers narrows the fall-backs' first provider."""
    panel = next(panel for panel in models["panels"] if panel["title"] == "Fall-backs")
    assert "from_provider=~`${provider:regex}`" in panel["targets"][0]["expr"]


def test_levels_of_the_breaker_have_their_names(models: dict[str, Any]) -> None:
    """The panel shows 0, 1 and 2 as closed, half-open and open, and the highest level of several instances."""
    panel = next(panel for panel in models["panels"] if panel["title"] == "Breaker State")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert {level: shown["text"] for level, shown in mapping["options"].items()} == {
        "0": "closed",
        "1": "half-open",
        "2": "open",
    }
    assert panel["targets"][0]["expr"].startswith("max by (provider) (ccr_breaker_state{")


def test_the_dashboards_lead_to_each_other(
    board: dict[str, Any], models: dict[str, Any], agents: dict[str, Any], runtime: dict[str, Any]
) -> None:
    """The first links above the panels lead to the other dashboards, with the same job and time range."""
    boards = {"agentos": board, "agentos-models": models, "agentos-agents": agents, "agentos-runtime": runtime}
    for uid, one in boards.items():
        others = [f"/d/{other}?var-job=${{job}}&${{__url_time_range}}" for other in boards if other != uid]
        assert [link["url"] for link in one["links"][:3]] == others


def test_the_third_dashboard_has_its_panels_in_their_order(agents: dict[str, Any]) -> None:
    """Seven rows and their panels have their titles in their order, and none has the title of another dashboard's panel."""
    assert [panel["title"] for panel in _all(agents)] == [
        title for row, titles in AGENT_PANELS.items() for title in (row, *titles)
    ]
    assert not {title for titles in AGENT_PANELS.values() for title in titles} & {
        title for rows in (PANELS, MODEL_PANELS) for titles in rows.values() for title in titles
    }


@pytest.mark.parametrize("row", [*catalogue_agents.ROWS, *catalogue_workspaces.ROWS], ids=lambda row: row.name)
def test_every_metric_of_agents_and_workspaces_is_on_the_third_dashboard(agents: dict[str, Any], row: Metric) -> None:
    """A panel of the third dashboard queries each metric of agents, tools, MCP and workspaces."""
    assert _asks(agents, row)


def test_the_third_dashboards_variables(agents: dict[str, Any]) -> None:
    """The variables are both data sources, the job, four labels, which start with All, and the hidden ones of the titles."""
    variables = {variable["name"]: variable for variable in agents["templating"]["list"]}
    labels, counts = ["agent", "tool", "mcp_server", "workspace_id"], ["budgets", "mcp_servers"]
    assert list(variables) == ["datasource", "traces", "job", *labels, *counts]
    assert [variables[name]["current"]["value"] for name in labels] == [["$__all"]] * 4
    assert [variables[name]["hide"] for name in counts] == [2, 2]


def test_the_fourth_dashboard_has_its_panels_in_their_order(runtime: dict[str, Any]) -> None:
    """Four rows and their panels have their titles in their order, and none has the title of another dashboard's panel."""
    assert [panel["title"] for panel in _all(runtime)] == [
        title for row, titles in RUNTIME_PANELS.items() for title in (row, *titles)
    ]
    assert not {title for titles in RUNTIME_PANELS.values() for title in titles} & {
        title for rows in (PANELS, MODEL_PANELS, AGENT_PANELS) for titles in rows.values() for title in titles
    }


@pytest.mark.parametrize("row", RUNTIME, ids=lambda row: row.name)
def test_every_metric_of_the_runtime_is_on_the_fourth_dashboard(runtime: dict[str, Any], row: Metric) -> None:
    """A panel of the fourth dashboard queries each metric of the process and its runtime."""
    assert _asks(runtime, row)


def test_the_fourth_dashboards_variables(runtime: dict[str, Any]) -> None:
    """The variables are both data sources, the job, and instance and worker, which start with All."""
    variables = {variable["name"]: variable for variable in runtime["templating"]["list"]}
    assert list(variables) == ["datasource", "traces", "job", "instance", "worker"]
    assert [variables[name]["current"]["value"] for name in ("instance", "worker")] == [["$__all"]] * 2


def test_every_panel_of_the_runtime_is_narrowed_by_the_instance(runtime: dict[str, Any]) -> None:
    """Each selector of the fourth dashboard names the chosen instances."""
    text = " ".join(target["expr"] for panel in _all(runtime) for target in panel.get("targets", []))
    assert text.count('{job="$job", instance=~`${instance:regex}`') == text.count('job="$job"') > len(RUNTIME)


def test_a_panel_of_the_runtime_names_the_setting_that_it_needs(runtime: dict[str, Any]) -> None:
    """Without data each panel of the fourth dashboard says that the metrics may be off."""
    words = {panel["fieldConfig"]["defaults"]["noValue"] for panel in _all(runtime) if panel["type"] != "row"}
    assert words == {"nothing in this time, or AGENTOS_RUNTIME_METRICS is off"}


def test_rows_that_many_sites_have_no_data_for_are_collapsed(each: dict[str, Any]) -> None:
    """A row is collapsed exactly if a variable in its title says how much there is; Grafana then asks for none of it."""
    rows = [panel for panel in each["panels"] if panel["type"] == "row"]
    assert [row["title"] for row in rows if row["collapsed"]] == [row["title"] for row in rows if "${" in row["title"]]
    assert all(bool(row.get("panels")) == row["collapsed"] for row in rows)


def test_a_panel_without_data_says_a_word(each: dict[str, Any]) -> None:
    """Each panel has words of its own for the time when it has nothing to show."""
    assert [
        panel["title"] for panel in _all(each) if panel["type"] != "row" and not panel["fieldConfig"]["defaults"].get("noValue")
    ] == []


def test_a_line_that_is_always_0_leaves_the_legend(board: dict[str, Any]) -> None:
    """A counter's lines are those with events in the time range; where none has any, the line none stands for them."""
    panel = next(panel for panel in board["panels"] if panel["title"] == "Requests by Task Type")
    selector = 'ccr_requests_total{job="$job", provider=~`${provider:regex}`}'
    had_events = (
        f"(increase({selector}[$__range] @ end())) > 0 or ({selector} @ end()) > 0 unless ({selector} @ end() offset $__range)"
    )
    assert [(target["legendFormat"], target["expr"]) for target in panel["targets"]] == [
        ("{{task_type}}", f"sum by (task_type) (rate({selector}[$__rate_interval]))\nand\nsum by (task_type) ({had_events})"),
        ("none", f"sum(rate({selector}[$__rate_interval]))\nunless\nsum({had_events})"),
    ]


@pytest.mark.parametrize(("name", "title"), [("agentos-models", "Cost (1h)"), ("agentos-agents", "Workspaces' Cost (1h)")])
def test_a_cost_without_prices_says_so(name: str, title: str) -> None:
    """The number of the cost has no sample where it is 0 and calls have no price, and says then that there are no prices."""
    panel = next(panel for panel in _loaded(name)["panels"] if panel["title"] == title)
    assert panel["fieldConfig"]["defaults"]["noValue"] == "no prices"
    assert "unless" in panel["targets"][0]["expr"]


def test_a_dashboard_imports_into_any_grafana(each: dict[str, Any]) -> None:
    """It has no id of a Grafana instance, and its schema is not newer than Grafana 10.0's; later versions migrate it."""
    assert each.get("id") is None
    assert each["uid"] in ("agentos", "agentos-models", "agentos-agents", "agentos-runtime")
    assert each["schemaVersion"] <= 38


def test_a_dashboard_round_trips_through_the_types_of_grafana(each: dict[str, Any]) -> None:
    """The foundation SDK's types read it and write it again unchanged, so Grafana drops nothing of it."""
    register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(each), cls=JSONEncoder))
    assert again == each


def test_a_panels_links_lead_to_existing_panels_and_runbooks(each: dict[str, Any]) -> None:
    """Every link to a panel names the panel with that id, and every runbook link a page."""
    titles = {str(panel["id"]): panel["title"] for panel in _all(each)}
    for panel in _all(each):
        for link in panel.get("links", []):
            if "viewPanel=" in link["url"]:
                assert titles[link["url"].split("viewPanel=")[1].split("&")[0]] == link["title"]
            else:
                assert (ROOT / "docs/runbooks" / link["url"].rsplit("/", 1)[1]).is_file()
