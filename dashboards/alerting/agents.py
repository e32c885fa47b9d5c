"""The alerts of agents, their tools and MCP servers, each with its test cases.

All are tickets: what users notice of it pages by the objectives of the A2A calls.
"""

from __future__ import annotations

from dashboards.alerting.alert import Alert, Case, error_ratio, series
from dashboards.alerting.observed import Form, Stretch, in_each_form, observed
from dashboards.alerting.slo import QUERY
from dashboards.config import INVOCATION as OBJECTIVE
from dashboards.panels.agents import FAILED
from telemetry.agentos.catalogue_agents import (
    AGENT_MODEL,
    AGENT_NAME,
    EXECUTE_TOOL_DURATION,
    FAILURE,
    INVOCATION,
    INVOKE_AGENT_DURATION,
    MCP_SERVER,
    MCP_SERVERS_UP,
    TOOL_NAME,
    TOOL_TYPE,
)

__all__ = ["AGENT_ALERTS"]

_AGENT = ("job", AGENT_NAME.key)
_TOOL = ("job", TOOL_NAME.key)
_NAVI = {AGENT_NAME.prometheus_key: "navi"}
_SEARCH = {TOOL_NAME.prometheus_key: "search"}

_NOTES, _OTHER_NOTES = (series(MCP_SERVERS_UP, mcp_server="notes", instance=instance) for instance in ("a:8000", "b:8000"))


def _invocations(form: Form, *stretches: Stretch, failure: str = "", start: tuple[int, int] = (0, 0)) -> dict[str, str]:
    """Invocations that took at most the objective's seconds, and longer ones."""
    labels = {INVOCATION.key: "invoke_agent", AGENT_NAME.key: "navi", AGENT_MODEL.key: "", FAILURE.key: failure}
    return observed(form, INVOKE_AGENT_DURATION, OBJECTIVE.under, *stretches, start=start, **labels)


def _tool_calls(form: Form, calls: int, steps: int, failure: str = "") -> dict[str, str]:
    labels = {AGENT_NAME.key: "navi", TOOL_NAME.key: "search", TOOL_TYPE.key: "function", FAILURE.key: failure}
    return observed(form, EXECUTE_TOOL_DURATION, 0.32, (calls, 0, steps), start=(0, 0), **labels)


AGENT_ALERTS = (
    Alert(
        "AgentInvocationsFailing",
        severity="ticket",
        wait="5m",
        expr=f"{error_ratio(INVOKE_AGENT_DURATION, '10m', *_AGENT, **FAILED)} > 0.25\n"
        f"and\n{QUERY.observations(INVOKE_AGENT_DURATION, '10m', *_AGENT, **FAILED)} > 5",
        summary="Agent {{ $labels.gen_ai_agent_name }} fails",
        description=(
            "{{ $value | humanizePercentage }} of the invocations of {{ $labels.gen_ai_agent_name }} failed in the last "
            "10 minutes."
        ),
        panel="Failed Invocations by Error",
        narrow=("agent=gen_ai_agent_name",),
        cases=(
            *in_each_form(
                "fires when a third fails",
                lambda form: _invocations(form, (2, 0, 20)) | _invocations(form, (1, 0, 20), failure="timeout"),
                11,
                _NAVI,
                "33.33%",
            ),
            *in_each_form(
                "is silent when a fifth fails",
                lambda form: _invocations(form, (4, 0, 20)) | _invocations(form, (1, 0, 20), failure="timeout"),
                20,
            ),
            Case("is silent when four in all failed", _invocations(Form.CLASSIC, (1, 0, 4), (0, 0, 8), failure="timeout"), 12),
            Case("is silent when the callers left", _invocations(Form.CLASSIC, (2, 0, 20), failure="cancelled"), 20),
        ),
    ),
    Alert(
        "AgentInvocationsSlow",
        severity="ticket",
        wait="5m",
        expr=f"1 - (\n{QUERY.share_at_or_below(INVOKE_AGENT_DURATION, OBJECTIVE.under, '10m', *_AGENT)}\n)"
        f" > {OBJECTIVE.budget:g}\nand\n{QUERY.observations(INVOKE_AGENT_DURATION, '10m', *_AGENT)} > 5",
        summary="Agent {{ $labels.gen_ai_agent_name }} is slow",
        description=(
            "{{ $value | humanizePercentage }} of the invocations of {{ $labels.gen_ai_agent_name }} in the last 10 minutes "
            f"took more than {OBJECTIVE.under:g} s; {OBJECTIVE.budget:.0%} may."
        ),
        panel="Invocation Latency",
        narrow=("agent=gen_ai_agent_name",),
        cases=(
            *in_each_form("fires when a quarter is slow", lambda form: _invocations(form, (3, 1, 8)), 7, _NAVI, "25%"),
            *in_each_form("is silent when one in twenty is", lambda form: _invocations(form, (19, 1, 20)), 20),
            *in_each_form("is silent without calls", lambda form: _invocations(form, (0, 0, 20), start=(0, 9)), 20),
            *in_each_form("is silent over four in all", lambda form: _invocations(form, (0, 1, 4), (0, 0, 8)), 12),
        ),
    ),
    Alert(
        "ToolFailing",
        severity="ticket",
        wait="5m",
        expr=f"{error_ratio(EXECUTE_TOOL_DURATION, '10m', *_TOOL, **FAILED)} > 0.25\n"
        f"and\n{QUERY.observations(EXECUTE_TOOL_DURATION, '10m', *_TOOL, **FAILED)} > 5",
        summary="Tool {{ $labels.gen_ai_tool_name }} fails",
        description=(
            "{{ $value | humanizePercentage }} of the executions of {{ $labels.gen_ai_tool_name }} failed in the last "
            "10 minutes."
        ),
        panel="Tool Errors",
        narrow=("tool=gen_ai_tool_name",),
        cases=(
            *in_each_form(
                "fires when a third fails",
                lambda form: _tool_calls(form, 2, 20) | _tool_calls(form, 1, 20, "tool_error"),
                11,
                _SEARCH,
                "33.33%",
            ),
            *in_each_form(
                "is silent when a fifth fails",
                lambda form: _tool_calls(form, 4, 20) | _tool_calls(form, 1, 20, "tool_error"),
                20,
            ),
            Case("is silent when four in all failed", _tool_calls(Form.CLASSIC, 1, 4, "tool_error"), 12),
        ),
    ),
    Alert(
        "MCPServerDown",
        severity="ticket",
        wait="5m",
        expr=f"{QUERY.level(MCP_SERVERS_UP, 'job', MCP_SERVER.key)} == 0",
        summary="MCP server {{ $labels.mcp_server }} does not answer",
        description=(
            "For 5 minutes {{ $labels.mcp_server }} has not answered one of the instances or more ({{ $value }}: down). Tools "
            "of it are missing."
        ),
        panel="MCP Servers",
        narrow=("mcp_server",),
        cases=(
            Case("fires when it stays away", {_NOTES: "1x5 0x20"}, 11, {"mcp_server": "notes"}, "0"),
            Case(
                "fires when one of two instances cannot reach it",
                {_NOTES: "1x25", _OTHER_NOTES: "1x5 0x20"},
                11,
                {"mcp_server": "notes"},
                "0",
            ),
            Case("is silent during a restart of four minutes", {_NOTES: "1x5 0x3 1x20"}, 15),
        ),
    ),
)
