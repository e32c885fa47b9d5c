"""Every panel of agents, tools, workspaces, streams and quotas against a real Prometheus that scraped two known instances."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from tests.helpers.agent_instances import running
from tests.helpers.dashboard_panels import (
    AGENT_PANELS,
    FORMS,
    HISTOGRAM_PANELS,
    MODEL_PANELS,
    RATE_INTERVAL,
    Measured,
    Raw,
    Selection,
    asked,
    distribution,
    drawn,
    grew,
    histogram_rates,
    interpolated,
    now,
    quantiles,
    rates,
)
from tests.helpers.grafana_board import in_grafana
from tests.helpers.required_servers import built_server

ROOT = Path(__file__).parents[2]
INVOKE, TOOL = "gen_ai_invoke_agent_duration_seconds", "gen_ai_execute_tool_duration_seconds"
MODELS, TOOLS = "gen_ai_invoke_agent_inference_calls", "gen_ai_invoke_agent_tool_calls"
CLIENT, SERVER = "mcp_client_operation_duration_seconds", "mcp_server_operation_duration_seconds"
SESSIONS = {"client": "mcp_client_session_duration_seconds", "server": "mcp_server_session_duration_seconds"}
AGENT, TOOL_NAME, METHOD = "gen_ai_agent_name", "gen_ai_tool_name", "mcp_method_name"

COUNTED = {
    f'{INVOKE}_count{{gen_ai_agent_name="navi",error_type=""}}': 6,
    f'{INVOKE}_count{{gen_ai_agent_name="herald",error_type=""}}': 2,
    f'{TOOLS}_sum{{gen_ai_agent_name="navi"}}': 6 * 3 + 3 * 1,
    f'{TOOLS}_sum{{gen_ai_agent_name="herald"}}': 2 * 1,
    f'{TOOL}_count{{gen_ai_agent_name="navi",gen_ai_tool_name="search",error_type=""}}': 6 * 2 + 3,
    f'{TOOL}_count{{gen_ai_agent_name="herald",gen_ai_tool_name="weather",error_type=""}}': 2,
    f'{TOOL}_count{{gen_ai_tool_name="weather",error_type="timeout"}}': 6,
    f'{CLIENT}_count{{mcp_method_name="tools/call",error_type=""}}': 7,
    f'{SERVER}_count{{mcp_method_name="tools/call",error_type=""}}': 7,
    'workspace_tokens_total{workspace_id="acme",kind="input"}': 20 * 100,
    'workspace_tokens_total{workspace_id="free",kind="output"}': 4 * 50,
    'workspace_cost_USD_total{workspace_id="acme"}': 95.25,
    'workspace_cost_USD_total{workspace_id="zen"}': 12,
    'workspace_unpriced_total{workspace_id="free"}': 4,
}
NEW = {
    f'{INVOKE}_count{{gen_ai_agent_name="navi",error_type="timeout"}}': 2,
    f'{INVOKE}_count{{gen_ai_agent_name="navi",error_type="cancelled"}}': 1,
    f'{CLIENT}_count{{error_type="tool_error"}}': 3,
}
"""Series that begin with their first failure."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """The traffic of both instances has ended and is scraped; an MCP server is down."""
    folder = tmp_path_factory.mktemp("agents")
    with ExitStack() as stack:
        one, two = running(stack, folder / "one"), running(stack, folder / "two")
        for instance in (one, two):
            instance.start()
        targets = [{"targets": [one.address, two.address]}]
        jobs = [scrape_job(job, "", static_configs=targets, **FORMS[job]) for job in FORMS]
        store = stack.enter_context(Prometheus(built_server("prometheus"), folder / "prometheus", jobs))
        until("both instances", lambda: store.value("count(mcp_servers_up)") == 2 * 2 * len(jobs))
        for _ in range(6):
            one.invoke("navi", tools={"search": 2, "weather": 1}, fails="weather")
        for error in (TimeoutError(), TimeoutError(), asyncio.CancelledError()):
            two.invoke("navi", tools={"search": 1}, error=error)
        for _ in range(2):
            two.invoke("herald", tools={"weather": 1})
        for seconds in (0.02, 0.2, 0.02, 0.2, 0.02, 0.2, 1.5):
            one.mcp("tools/call", seconds, tool="search")
        for _ in range(3):
            two.mcp("tools/call", 0.3, tool="weather", error="tool_error")
        one.session(12)
        two.lose("files")
        for _ in range(20):
            one.spend("acme", "4.5", input=100, output=20)
        two.spend("acme", "5.25", output=1)
        two.spend("zen", "12", output=7)
        for _ in range(4):
            two.spend("free", None, output=50)
        for seconds in (0.02, 0.02, 0.2):
            one.stream("main", seconds, tokens=50)
        one.cancel("main", 12)
        one.allow("main", "tokens", 1000, 400)
        two.allow("main", "tokens", 1000, 50)
        two.allow("main", "requests", 60, 30)
        two.estimate("free", 30, 10)
        until("the last event", lambda: store.value("sum(workspace_estimated_tokens_total)") == 40 * len(jobs))
        # A series that begins with its first event has a rate after its second sample.
        samples = "min(count_over_time(workspace_estimated_tokens_total[1m]))"
        until("three samples", lambda: (store.value(samples) or 0) >= 3)
        until("the ledger", lambda: store.value('sum(workspace_budget_remaining_USD{workspace_id="zen"})') == 8 * len(jobs))
        until(
            "the money", lambda: store.value('sum(workspace_budget_remaining_USD{workspace_id="acme"})') == 104.75 * len(jobs)
        )
        yield Measured(store, time.time())


@pytest.mark.parametrize(("series", "count"), (COUNTED | NEW).items())
def test_metrics_grew_by_exactly_the_events(measured: Measured, series: str, count: float) -> None:
    """The difference of the last and the first sample is the number of events that were scripted."""
    assert grew(measured, series, from_nothing=series in NEW) == pytest.approx(count, abs=1e-9)


def _failed(labels: dict[str, str]) -> bool:
    return labels.get("error_type", "") not in ("", "cancelled")


def _has_error(labels: dict[str, str]) -> bool:
    return "error_type" in labels


def _failing(raw: Raw, metric: str) -> dict[str, float]:
    failed = sum(raw.part(metric, "count", "5m", where=_failed).values())
    return now(failed / sum(raw.part(metric, "count", "5m").values()))


def _mean(raw: Raw, metric: str, key: str, window: str = RATE_INTERVAL) -> dict[str, float]:
    total, count = (raw.part(metric, part, window, key) for part in ("sum", "count"))
    return {group: total[group,] / number for (group,), number in count.items() if number}


def _calls_per_invocation(raw: Raw) -> dict[str, float]:
    means = {what: _mean(raw, metric, AGENT) for what, metric in (("models", MODELS), ("tools", TOOLS))}
    return {f"{agent} {what}": value for what, found in means.items() for agent, value in found.items()}


def _sessions(raw: Raw) -> dict[str, float]:
    return {f"{side} pipe": _mean(raw, metric, "network_transport")["pipe"] for side, metric in SESSIONS.items()}


def _ended(raw: Raw) -> dict[str, float]:
    ended = {side: raw.part(metric, "count", RATE_INTERVAL, "network_transport") for side, metric in SESSIONS.items()}
    return {f"{side} pipe": found["pipe",] for side, found in ended.items()}


def _both_tokens(raw: Raw) -> dict[str, float]:
    names = (("workspace_tokens_total", "kind", "reported"), ("workspace_estimated_tokens_total", "direction", "estimated"))
    return {
        f"{name} {what}": rate
        for metric, key, what in names
        for name, rate in rates(raw, metric, key).items()
        if name != "none"
    }


def _top(raw: Raw, metric: str) -> dict[str, float]:
    return {name: more for (name,), more in raw.by(metric, "increase[24h]", "workspace_id").items() if more}


def _spent(raw: Raw) -> dict[str, float]:
    left = raw.by("workspace_budget_remaining_USD", "", "workspace_id")
    return {name: 2 * BUDGET[name] - value for (name,), value in left.items()}


BUDGET = {"acme": 100.0, "zen": 10.0}
EXPECTED: dict[str, Callable[[Raw], dict[str, float]]] = {
    "Agent Invocations (5m)": lambda raw: now(5 * 60 * sum(raw.part(INVOKE, "count", "5m").values())),
    "Failed Invocations": lambda raw: _failing(raw, INVOKE),
    "Failed Tool Calls": lambda raw: _failing(raw, TOOL),
    "MCP Servers Down": lambda raw: now(1),
    "Workspaces' Cost (1h)": lambda raw: now(raw.total("workspace_cost_USD_total", "increase[1h]")),
    "Overspent Budgets": lambda raw: now(sum(value > BUDGET[name] for name, value in _spent(raw).items())),
    "Invocations by Agent": lambda raw: histogram_rates(raw, INVOKE, AGENT),
    "Invocation Latency": lambda raw: distribution(raw, INVOKE, AGENT),
    "Failed Invocations by Error": lambda raw: histogram_rates(raw, INVOKE, AGENT, "error_type", where=_has_error, times=60),
    "Calls per Invocation": _calls_per_invocation,
    "Tool Calls by Tool": lambda raw: histogram_rates(raw, TOOL, TOOL_NAME),
    "Tool Latency": lambda raw: distribution(raw, TOOL, TOOL_NAME),
    "Tool Errors": lambda raw: histogram_rates(raw, TOOL, TOOL_NAME, "error_type", where=_has_error, times=60),
    "Slowest Tools (1h)": lambda raw: {tool: p95 for (tool,), p95 in quantiles(raw, 0.95, TOOL, "1h", TOOL_NAME).items()},
    "Cost by Workspace": lambda raw: rates(raw, "workspace_cost_USD_total", "workspace_id", times=3600),
    "Tokens by Workspace": lambda raw: rates(raw, "workspace_tokens_total", "workspace_id"),
    "Top Ten by Cost (24h)": lambda raw: _top(raw, "workspace_cost_USD_total"),
    "Top Ten by Tokens (24h)": lambda raw: _top(raw, "workspace_tokens_total"),
    "Estimated and Reported Tokens": _both_tokens,
    "Unpriced Calls by Workspace": lambda raw: rates(raw, "workspace_unpriced_total", "workspace_id", times=60),
    "Spent of the Budget": lambda raw: (
        {f"{name} spent": value for name, value in _spent(raw).items()}
        | {f"{name} budget": BUDGET[name] for name in _spent(raw)}
    ),
    "Remaining Share": lambda raw: {name: max(1 - value / BUDGET[name], 0) for name, value in _spent(raw).items()},
    "Budget Remaining": lambda raw: {name: BUDGET[name] - value for name, value in _spent(raw).items()},
    "MCP Servers": lambda raw: {"notes": 1, "files": 0},
    "MCP Client Operations": lambda raw: histogram_rates(raw, CLIENT, METHOD),
    "MCP Client Latency": lambda raw: distribution(raw, CLIENT, METHOD),
    "MCP Client Errors": lambda raw: histogram_rates(raw, CLIENT, METHOD, "error_type", where=_has_error, times=60),
    "MCP Server Operations": lambda raw: histogram_rates(raw, SERVER, METHOD),
    "MCP Server Latency": lambda raw: distribution(raw, SERVER, METHOD),
    "MCP Server Errors": lambda raw: histogram_rates(raw, SERVER, METHOD, "error_type", where=_has_error, times=60),
    "MCP Sessions": _sessions,
    "MCP Sessions Ended": _ended,
}
PACE, SPEED = "ccr_inter_token_latency_seconds", "ccr_output_tokens_per_second"


def _estimated(raw: Raw) -> dict[str, float]:
    names = (("ccr_model_tokens_total", "kind", "reported"), ("ccr_estimated_tokens_total", "direction", "estimated"))
    return {f"{name} {what}": rate for metric, key, what in names for name, rate in rates(raw, metric, key).items()}


EXPECTED |= {
    "Inter-token Latency": lambda raw: distribution(raw, PACE, "provider"),
    "Tokens per Second": lambda raw: distribution(raw, SPEED, "provider"),
    "Estimated Tokens": _estimated,
    "Quota Remaining": lambda raw: {"main tokens": 0.05, "main requests": 0.5},
    "Quota": lambda raw: {
        "main tokens left": 50,
        "main requests left": 30,
        "main tokens limit": 1000,
        "main requests limit": 60,
    },
}
"""The second dashboard's panels of streams and quotas stand here too, and its other ones in ``test_models_live``."""

TABLES = ("Agents and Their Tools (1h)", "Budgets")

ALL = Selection("all", {})
# The variable has another name than the label that it narrows.
ONE = Selection("one", {"agent": ["navi"], AGENT: ["navi"], "workspace_id": ["acme"]})
CASES = [(title, "agentos") for title in EXPECTED] + [
    (title, job) for title in HISTOGRAM_PANELS if title in EXPECTED for job in FORMS if job != "agentos"
]


def test_each_panel_is_tested() -> None:
    """Each panel of the third dashboard has a test of its numbers here, and each of the second one's collapsed rows."""
    board = json.loads((ROOT / "dashboards/agentos-models.json").read_text())
    collapsed = {panel["title"] for row in board["panels"] for panel in row.get("panels", ())}
    assert {*EXPECTED, *TABLES} == AGENT_PANELS.keys() | collapsed


@pytest.mark.parametrize("selection", [ALL, ONE], ids=lambda selection: selection.name)
@pytest.mark.parametrize(("title", "job"), CASES)
def test_a_panel_shows_the_values_of_the_single_series(measured: Measured, title: str, job: str, selection: Selection) -> None:
    """Each panel's values equal those computed from Prometheus' extrapolation of every single series of the job."""
    selection = replace(selection, job=job)
    shown = asked(measured.store, title, selection, measured.at)
    assert shown, "the panel is empty"
    assert shown == pytest.approx(EXPECTED[title](Raw(measured.store, measured.at, selection)), rel=1e-9)


@pytest.mark.parametrize(("title", "job"), [*CASES, *((title, "agentos") for title in TABLES)])
def test_a_panel_draws_over_time_without_nan(measured: Measured, title: str, job: str) -> None:
    """Each query returns samples over the time of the traffic, and each is a number."""
    for target in drawn((AGENT_PANELS | MODEL_PANELS)[title]):
        times = {"start": str(measured.at - 5), "end": str(measured.at), "step": "1"}
        series = measured.store.get("query_range", query=interpolated(target["expr"], replace(ALL, job=job)), **times)["result"]
        assert series, target["refId"]
        assert not [value for one in series for _, value in one["values"] if value in ("NaN", "+Inf", "-Inf")]


@pytest.mark.parametrize("job", FORMS)
def test_the_tree_has_a_row_for_each_agent_and_each_of_its_tools(measured: Measured, job: str) -> None:
    """Agents and their tools are named by their path, in each form of the histograms, with calls, failures and means."""
    found: dict[str, dict[str, float]] = {}
    for target in AGENT_PANELS["Agents and Their Tools (1h)"]["targets"]:
        query = interpolated(target["expr"], replace(ALL, job=job))
        for series in measured.store.get("query", query=query, time=str(measured.at))["result"]:
            column = target["legendFormat"].split("}} ")[-1]
            found.setdefault(series["metric"]["path"], {})[column] = float(series["value"][1])
    tools = [f"{agent} / {tool}" for agent in ("herald", "navi") for tool in ("search", "weather")]
    assert sorted(found) == sorted(["herald", "navi", *tools])
    assert found["navi / weather"]["Failed"] == pytest.approx(1, abs=0.01)
    assert found["navi"]["Tool calls each"] == pytest.approx((6 * 3 + 3) / 9, abs=0.5)
    assert found["navi"]["Model calls each"] == 0
    assert found["herald / weather"]["Failed"] == 0
    assert set(found["navi / search"]) == {"Calls", "Failed", "p95", "Mean"}


def test_budgets_are_those_of_both_instances(measured: Measured) -> None:
    """What is left is the budget without what both instances spent, to the cent; an overspent one is below 0."""
    assert asked(measured.store, "Budget Remaining", ALL, measured.at) == {"acme": 4.75, "zen": -2}
    assert asked(measured.store, "Overspent Budgets", ALL, measured.at) == {"now": 1}


def test_a_workspace_without_prices_says_so(measured: Measured) -> None:
    """The cost of workspaces whose calls have no price has no sample, and over time the line that says no prices."""
    free = Selection("free", {"workspace_id": ["free"]})
    assert asked(measured.store, "Workspaces' Cost (1h)", free, measured.at) == {}
    assert asked(measured.store, "Cost by Workspace", free, measured.at) == {"no prices": 0}
    assert AGENT_PANELS["Workspaces' Cost (1h)"]["fieldConfig"]["defaults"]["noValue"] == "no prices"


def test_the_rows_titles_count_what_is_in_them(measured: Measured) -> None:
    """The hidden variables find two budgets and two MCP servers; of what there is none they find 0."""
    board = json.loads((ROOT / "dashboards/agentos-agents.json").read_text())
    found = {}
    for variable in board["templating"]["list"]:
        if variable.get("hide") == 2:
            query = variable["query"]["query"].removeprefix("query_result(").removesuffix(")")
            for job in ("agentos", "nothing"):
                found[variable["name"], job] = measured.store.value(query.replace("$job", job))
    assert found == {
        ("budgets", "agentos"): 2,
        ("budgets", "nothing"): 0,
        ("mcp_servers", "agentos"): 2,
        ("mcp_servers", "nothing"): 0,
    }


def test_grafana_shows_the_same(measured: Measured) -> None:
    """In Grafana's own code each panel over time has the lines and values of Prometheus, and the titles' variables count."""
    end = math.ceil(measured.at / 15) * 15  # Grafana queries whole steps
    until(
        "samples behind a whole step",
        lambda: measured.store.value(f'min(timestamp(up{{job="agentos"}})) > bool {end}'),
        timeout=30,
    )
    shown = in_grafana(measured.store, "agentos-agents", end - 300, end)
    checked = 0
    for title, panel in AGENT_PANELS.items():
        if panel["type"] == "timeseries":
            series = {name: points[-1] for name, points in shown["panels"][title]["series"].items()}
            # A line of which a step has no sample ends before.
            found = {name: value for name, (at, value) in series.items() if at == end * 1000 and value is not None}
            assert found == pytest.approx(asked(measured.store, title, ALL, end), rel=1e-9), title
            checked += 1
    assert checked == 23
    counted = {name: re.search(r"} ([0-9]+) ", shown["variables"][name][0]) for name in ("budgets", "mcp_servers")}
    assert {name: found[1] for name, found in counted.items() if found} == {"budgets": "2", "mcp_servers": "2"}
    assert sorted(shown["variables"]["tool"]) == ["search", "weather"]


@pytest.mark.parametrize("job", FORMS)
def test_alerts_find_these_series(measured: Measured, job: str) -> None:
    """The alerts' expressions find the failing tool, the MCP server that is down, and the overspent workspace."""
    rules = {
        rule.get("alert", rule.get("record")): rule["expr"].replace('"agentos"', f'"{job}"').replace(":1m]", ":100ms]")
        for name in ("alerts", "recording")
        for group in yaml.safe_load((ROOT / f"dashboards/rules/agentos-{name}.yml").read_text())["groups"]
        for rule in group["rules"]
    }

    def found(alert: str, label: str) -> list[str]:
        expr = rules[alert]
        for name in filter(lambda name: name.startswith("job_workspace_id:"), rules):
            expr = expr.replace(name, f"({rules[name]})")
        series = measured.store.get("query", query=expr, time=str(measured.at))["result"]
        return [one["metric"][label] for one in series]

    assert found("ToolFailing", TOOL_NAME) == ["weather"]
    assert found("AgentInvocationsFailing", AGENT) == []
    assert found("MCPServerDown", "mcp_server") == ["files"]
    assert found("CCRQuotaLow", "resource") == ["tokens"]
    assert found("WorkspaceOverspent", "workspace_id") == ["zen"]
    assert found("WorkspaceBudgetLow", "workspace_id") == ["acme"]
