"""The third dashboard: agents with their tools, MCP, and what the workspaces use and may spend."""

from __future__ import annotations

from functools import partial

from grafana_foundation_sdk.builders import timeseries

from dashboards.config import AGENTS_UID
from dashboards.money import known_cost, remaining, remaining_share, spent
from dashboards.panels import links
from dashboards.panels.board import Board, Panel, Row
from dashboards.panels.theme import (
    CALLS,
    CALLS_A_SECOND,
    DATE,
    DOLLARS,
    DOLLARS_AN_HOUR,
    EACH,
    ERRORS_A_MINUTE,
    EVENTS,
    GREEN,
    PERCENT,
    RATES,
    RED,
    SECONDS,
    Column,
    bars,
    dashed,
    levels,
    number,
    over_time,
    rows,
)
from dashboards.panels.timeseries import NOW, STEP, distribution, end, events, narrowed, per_minute, rate
from dashboards.panels.variables import AGENTS_QUERY as QUERY
from dashboards.panels.variables import agent_variables
from dashboards.promql import Not, Value, only_numbers, ratio
from telemetry.agentos.catalogue_agents import (
    AGENT_NAME,
    EXECUTE_TOOL_DURATION,
    FAILURE,
    INFERENCE_CALLS,
    INVOKE_AGENT_DURATION,
    MCP_CLIENT_OPERATION_DURATION,
    MCP_CLIENT_SESSION_DURATION,
    MCP_SERVER,
    MCP_SERVER_OPERATION_DURATION,
    MCP_SERVER_SESSION_DURATION,
    MCP_SERVERS_UP,
    METHOD,
    TOOL_CALLS,
    TOOL_NAME,
    TRANSPORT,
)
from telemetry.agentos.catalogue_workspaces import (
    WORKSPACE_BUDGET,
    WORKSPACE_COST,
    WORKSPACE_ESTIMATED_TOKENS,
    WORKSPACE_PERIOD_END,
    WORKSPACE_TOKENS,
    WORKSPACE_UNPRICED,
)
from telemetry.metric import Metric

__all__ = ["AGENTS", "FAILED"]

FAILED: dict[str, Value] = {FAILURE.key: Not(("", "cancelled"))}
"""The condition on what failed; a caller who left is no failure."""

_SEVERAL = 10
"""So many workspaces have lines of their own."""
_DAY = "24h"

_rate = partial(rate, QUERY)
_distribution = partial(distribution, QUERY)
_per_minute = partial(per_minute, QUERY)


def _failing(metric: Metric, window: str, *by: str) -> str:
    """The share of a histogram's events that failed."""
    return ratio(QUERY.rate(metric, window, *by, **FAILED), QUERY.rate(metric, window, *by))


def _now() -> list[Panel]:
    """Numbers as of now that show whether anything is wrong."""
    down = f"sum(min by ({MCP_SERVER.prometheus_key}) ({QUERY.series(MCP_SERVERS_UP)}) == bool 0)"
    return [
        number(QUERY.increase(INVOKE_AGENT_DURATION, NOW), EVENTS)
        .title("Agent Invocations (5m)")
        .no_value("none")
        .description("Invocations of agents that ended in the last 5 minutes, well or badly."),
        number(_failing(INVOKE_AGENT_DURATION, NOW), PERCENT, orange=0.05, red=0.1)
        .title("Failed Invocations")
        .no_value("no calls")
        .description("Share of the invocations of the last 5 minutes that failed. Callers who left are no failures."),
        number(_failing(EXECUTE_TOOL_DURATION, NOW), PERCENT, orange=0.1, red=0.25)
        .title("Failed Tool Calls")
        .no_value("no calls")
        .description(
            "Share of the tool calls of the last 5 minutes that failed. High, while invocations succeed: the agents get along "
            "without."
        ),
        number(down, EVENTS, red=1)
        .title("MCP Servers Down")
        .no_value("no servers")
        .description("MCP servers that do not answer one of the instances or more."),
        *_money_now(),
    ]


def _money_now() -> list[Panel]:
    return [
        number(known_cost(QUERY, WORKSPACE_COST, WORKSPACE_UNPRICED, "1h"), DOLLARS)
        .title("Workspaces' Cost (1h)")
        .no_value("no prices")
        .description(
            "What the workspaces' model calls of the last hour cost, by your price file. Unpriced calls are missing from it; "
            "without a price for any call it says so."
        ),
        number(f"sum(({remaining(QUERY)}) < bool 0)", EVENTS, red=1)
        .title("Overspent Budgets")
        .no_value("no budgets")
        .description("Workspaces that have spent more than their budget in its period."),
    ]


def _tree() -> list[Panel]:
    """Agents, and under each its tools, as a table."""
    calls = (partial(QUERY.increase, INVOKE_AGENT_DURATION, "1h"), partial(QUERY.increase, EXECUTE_TOOL_DURATION, "1h"))
    p95, mean = (
        tuple(partial(ask, metric, "1h") for metric in (INVOKE_AGENT_DURATION, EXECUTE_TOOL_DURATION))
        for ask in (partial(QUERY.quantile, 0.95), QUERY.mean)
    )
    agent, tool = _KEYS
    columns = [
        Column("Calls", _branches(calls[0](agent), calls[1](agent, tool)), EVENTS),
        Column(
            "Failed",
            _branches(_failing(INVOKE_AGENT_DURATION, "1h", agent), _failing(EXECUTE_TOOL_DURATION, "1h", agent, tool)),
            PERCENT,
            orange=0.1,
            red=0.25,
        ),
        Column("p95", _branches(p95[0](agent), p95[1](agent, tool)), SECONDS),
        Column("Mean", _branches(mean[0](agent), mean[1](agent, tool)), SECONDS),
        Column("Model calls each", _branches(QUERY.mean(INFERENCE_CALLS, "1h", agent)), EACH, labels=_AGENT),
        Column("Tool calls each", _branches(QUERY.mean(TOOL_CALLS, "1h", agent)), EACH, labels=_AGENT),
    ]
    labels = f"{_AGENT} {{{{{TOOL_NAME.prometheus_key}}}}}"
    return [
        rows("path", "Agent / tool", columns, labels=labels, hidden=[AGENT_NAME.prometheus_key, TOOL_NAME.prometheus_key])
        .title("Agents and Their Tools (1h)")
        .no_value("no agent was called in the last hour")
        .description(
            "Calls of the last hour: a line for each agent or workflow, and under it one for each tool that it used. Model "
            "and tool calls each: the mean number in one invocation, its own only. Prometheus extrapolates: close, not exact."
        )
    ]


_KEYS = (AGENT_NAME.key, TOOL_NAME.key)
_AGENT = f"{{{{{AGENT_NAME.prometheus_key}}}}}"


def _branches(agents: str, tools: str = "") -> str:
    """Values of agents and of their tools with their place in the tree as the label ``path``."""
    agent, tool = AGENT_NAME.prometheus_key, TOOL_NAME.prometheus_key
    joined = f'label_join({agents}, "path", "", "{agent}") >= 0'
    return joined + (f'\nor\nlabel_join({tools}, "path", " / ", "{agent}", "{tool}") >= 0' if tools else "")


def _agents() -> list[Panel]:
    """Invocations over time."""
    agent = AGENT_NAME.key
    calls = {
        f"{_AGENT} {what}": QUERY.mean(metric, STEP, agent)
        for what, metric in (("models", INFERENCE_CALLS), ("tools", TOOL_CALLS))
    }
    return [
        _rate(INVOKE_AGENT_DURATION, agent, CALLS_A_SECOND)
        .title("Invocations by Agent")
        .description("Invocations of agents and workflows that ended, per second."),
        _distribution(INVOKE_AGENT_DURATION, agent, "How long invocations take, failed ones too.").title("Invocation Latency"),
        _failures(INVOKE_AGENT_DURATION, AGENT_NAME.key)
        .title("Failed Invocations by Error")
        .description("Failed invocations per minute, by agent and error. cancelled: the caller left."),
        over_time(calls, CALLS)
        .title("Calls per Invocation")
        .description(
            "How many calls of models and of tools an invocation makes on average, failed ones too. Those of an agent that it "
            "calls count there. It rises: the agent goes round in circles."
        )
        .data_links(narrowed(QUERY, agent)),
    ]


def _tools() -> list[Panel]:
    """Tool calls over time."""
    tool, by = TOOL_NAME.key, f"{{{{{TOOL_NAME.prometheus_key}}}}}"
    slowest = f"topk(10, {QUERY.quantile(0.95, EXECUTE_TOOL_DURATION, '1h', tool)})"
    return [
        _rate(EXECUTE_TOOL_DURATION, tool, CALLS_A_SECOND)
        .title("Tool Calls by Tool")
        .description("Executions of tools that ended, per second."),
        _distribution(EXECUTE_TOOL_DURATION, tool, "How long executions of tools take, failed ones too.").title("Tool Latency"),
        _failures(EXECUTE_TOOL_DURATION, tool)
        .title("Tool Errors")
        .description("Failed executions per minute, by tool and error. cancelled: the caller left."),
        bars(slowest, by, SECONDS)
        .title("Slowest Tools (1h)")
        .no_value("no tool was called in the last hour")
        .description(f"The ten tools with the highest p95 of the last hour.{end(EXECUTE_TOOL_DURATION)}."),
    ]


def _failures(metric: Metric, key: str) -> timeseries.Panel:
    panel = _per_minute(metric, key, FAILURE.key, unit=ERRORS_A_MINUTE, most=0, **{FAILURE.key: Not("")})
    return panel.data_links([*narrowed(QUERY, key), links.traces_of(key, FAILURE.key)])


def _mcp() -> list[Panel]:
    """MCP servers that the agents use, and the ones that the service itself is."""
    up = f"min by ({MCP_SERVER.prometheus_key}) ({QUERY.series(MCP_SERVERS_UP)} > bool 0)"
    client, server = MCP_CLIENT_OPERATION_DURATION, MCP_SERVER_OPERATION_DURATION
    return [
        levels({f"{{{{{MCP_SERVER.prometheus_key}}}}}": up}, {"down": (0, RED), "up": (1, GREEN)})
        .title("MCP Servers")
        .description("Whether the server answers; of several instances the worst is shown.")
        .data_links(narrowed(QUERY, MCP_SERVER.key)),
        _rate(client, METHOD.key, CALLS_A_SECOND)
        .title("MCP Client Operations")
        .description("Requests and notifications that the service sent to MCP servers, per second."),
        _distribution(client, METHOD.key, "Time from the send of a request to its answer.").title("MCP Client Latency"),
        _failures(client, METHOD.key)
        .title("MCP Client Errors")
        .description("Failed requests to MCP servers per minute. tool_error: the tool failed. A number: the JSON-RPC code."),
        _rate(server, METHOD.key, CALLS_A_SECOND)
        .title("MCP Server Operations")
        .description("Requests and notifications that the service's own MCP server took, per second."),
        _distribution(server, METHOD.key, "Time from the arrival of a request to its answer.").title("MCP Server Latency"),
        _failures(server, METHOD.key)
        .title("MCP Server Errors")
        .description("Failed requests per minute. Mistakes of a client (-32700, -32600 to -32602, -32002) are none."),
        _sessions()
        .title("MCP Sessions")
        .description("Mean duration of the sessions that ended. Much shorter than before: servers or clients break them off."),
        over_time(_ended(), CALLS_A_SECOND.replace("calls", "sessions"))
        .title("MCP Sessions Ended")
        .description("Sessions that ended, per second, of our clients and of our own server."),
    ]


_SIDES = (("client", MCP_CLIENT_SESSION_DURATION), ("server", MCP_SERVER_SESSION_DURATION))


def _sessions() -> timeseries.Panel:
    transport = f"{{{{{TRANSPORT.prometheus_key}}}}}"
    lines = {f"{side} {transport}": QUERY.mean(metric, STEP, TRANSPORT.key) for side, metric in _SIDES}
    return over_time(lines, SECONDS, exemplars=True)


def _ended() -> dict[str, str]:
    return {f"{side} {{{{{TRANSPORT.prometheus_key}}}}}": QUERY.rate(metric, STEP, TRANSPORT.key) for side, metric in _SIDES}


def _workspaces() -> list[Panel]:
    """What the workspaces use."""
    return [
        over_time(_cost(), DOLLARS_AN_HOUR, stacked=True)
        .title("Cost by Workspace")
        .description(
            "US dollars an hour by your price file, of the ten workspaces that cost most in the time range. no prices: none of "
            "the calls has one. What is left of their budgets: the row Budgets."
        )
        .data_links(narrowed(QUERY, "workspace_id")),
        over_time(events(QUERY, WORKSPACE_TOKENS, "workspace_id", most=_SEVERAL), RATES[WORKSPACE_TOKENS.unit], stacked=True)
        .title("Tokens by Workspace")
        .description("Tokens per second of all kinds as the providers report them, of the ten workspaces that used most.")
        .data_links(narrowed(QUERY, "workspace_id")),
        *_top_ten(),
        over_time(_both_tokens(), RATES[WORKSPACE_TOKENS.unit])
        .title("Estimated and Reported Tokens")
        .description(
            "Tokens per second of all workspaces: reported by the providers, and estimated for calls that their caller "
            "cancelled before the provider told its usage. Estimated ones are in no other number and in no cost."
        ),
        _per_minute(WORKSPACE_UNPRICED, "workspace_id", most=_SEVERAL)
        .title("Unpriced Calls by Workspace")
        .description("Calls per minute whose cost is not, or not fully, known, of the ten workspaces with most of them."),
    ]


def _cost() -> dict[str, str]:
    lines = events(QUERY, WORKSPACE_COST, "workspace_id", times=3600, most=_SEVERAL)
    unpriced = QUERY.moved(WORKSPACE_UNPRICED)
    lines["none"] += f"\nunless\n{unpriced}"
    lines["no prices"] = (
        f"({QUERY.rate(WORKSPACE_COST, STEP)}\nor\n0 * {QUERY.rate(WORKSPACE_UNPRICED, STEP)})\nand\n{unpriced}\n"
        f"unless\n{QUERY.moved(WORKSPACE_COST)}"
    )
    return lines


def _top_ten() -> list[Panel]:
    most_cost, most_tokens = (
        f"topk({_SEVERAL}, {QUERY.increase(metric, _DAY, 'workspace_id')} > 0)" for metric in (WORKSPACE_COST, WORKSPACE_TOKENS)
    )
    return [
        bars(most_cost, "{{workspace_id}}", DOLLARS)
        .title("Top Ten by Cost (24h)")
        .no_value("no cost: no prices, or no calls")
        .description("The ten workspaces whose model calls cost most in the last 24 hours, by your price file."),
        bars(most_tokens, "{{workspace_id}}", EVENTS)
        .title("Top Ten by Tokens (24h)")
        .no_value("no tokens in the last 24 hours")
        .description("The ten workspaces that used most tokens in the last 24 hours, as the providers report them."),
    ]


def _both_tokens() -> dict[str, str]:
    reported = events(QUERY, WORKSPACE_TOKENS, "kind", legend="{{kind}} reported")
    estimated = events(QUERY, WORKSPACE_ESTIMATED_TOKENS, "direction", legend="{{direction}} estimated")
    none = reported.pop("none") + f"\nunless\n{QUERY.moved(WORKSPACE_ESTIMATED_TOKENS)}"
    del estimated["none"]
    return {**reported, **estimated, "none": none}


def _budgets() -> list[Panel]:
    """What is left of the budgets."""
    by = "{{workspace_id}}"
    budget = QUERY.top(WORKSPACE_BUDGET, "workspace_id")
    columns = [
        Column("Budget", budget, DOLLARS),
        Column("Spent", spent(QUERY), DOLLARS),
        Column("Remaining", remaining(QUERY), DOLLARS),
        Column("Spent of it", only_numbers(f"{spent(QUERY)} / {budget}"), PERCENT, orange=0.8, red=1),
        Column("Cost (1h)", f"{QUERY.increase(WORKSPACE_COST, '1h', 'workspace_id')}\nand\n{budget}", DOLLARS),
        Column("Period ends", f"1000 * {QUERY.level(WORKSPACE_PERIOD_END, 'workspace_id')}", DATE),
    ]
    return [
        over_time({f"{by} spent": spent(QUERY), f"{by} budget": budget}, DOLLARS)
        .override_by_regexp("/ budget$/", dashed(RED))
        .title("Spent of the Budget")
        .description("What the workspaces have spent in the period of their budget, and the budgets as dashed lines.")
        .data_links(narrowed(QUERY, "workspace_id")),
        over_time({by: remaining_share(QUERY)}, PERCENT)
        .max(1)
        .title("Remaining Share")
        .description("Part of the budget that is left in its period; 0 where it is spent, or overspent.")
        .data_links(narrowed(QUERY, "workspace_id")),
        over_time({by: remaining(QUERY)}, DOLLARS, from_zero=False)
        .title("Budget Remaining")
        .description("What may still be spent; below 0 where more is spent. It jumps up when a new period begins.")
        .data_links(narrowed(QUERY, "workspace_id")),
        rows("workspace_id", "Workspace", columns, labels=by)
        .title("Budgets")
        .no_value("no budgets")
        .description("The budgets as of now, with the end of their period (UTC calendar) in your time zone."),
    ]


AGENTS = Board(
    title="Agents & Tools & Tenants",
    uid=AGENTS_UID,
    description="Agents of AgentOS with their tools, MCP, and what the workspaces use and may spend; there are no data unless "
    "AGENTOS_AGENT_METRICS is on",
    variables=agent_variables,
    empty="nothing in this time, or AGENTOS_AGENT_METRICS is off",
    rows=(
        Row("Agents Now", _now, 4, 4),
        Row("Agents and Tools", _tree, 24, 10),
        Row("Agents", _agents, 12, 8),
        Row("Tools", _tools, 12, 8),
        Row("Workspaces", _workspaces, 8, 8),
        Row("Budgets (workspaces: ${budgets})", _budgets, 12, 8, collapsed=True),
        Row("MCP (servers: ${mcp_servers})", _mcp, 8, 8, collapsed=True),
    ),
    runbooks={
        "Failed Invocations": "AgentInvocationsFailing",
        "Failed Tool Calls": "ToolFailing",
        "MCP Servers Down": "MCPServerDown",
        "Overspent Budgets": "WorkspaceOverspent",
        "Invocation Latency": "AgentInvocationsSlow",
        "Failed Invocations by Error": "AgentInvocationsFailing",
        "Tool Errors": "ToolFailing",
        "Spent of the Budget": "WorkspaceBudgetBurn",
        "Budget Remaining": "WorkspaceBudgetOutSoon",
        "Remaining Share": "WorkspaceBudgetLow",
        "Budgets": "WorkspaceOverspent",
        "MCP Servers": "MCPServerDown",
        "MCP Client Errors": "MCPServerDown",
    },
    details={
        "Agent Invocations (5m)": "Invocations by Agent",
        "Failed Invocations": "Failed Invocations by Error",
        "Failed Tool Calls": "Tool Errors",
        "MCP Servers Down": "MCP Servers",
        "Workspaces' Cost (1h)": "Cost by Workspace",
        "Overspent Budgets": "Spent of the Budget",
    },
)
