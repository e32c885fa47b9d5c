"""The demo's tables of agents, tools, MCP and workspaces from two scrapes."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from demo.board import board
from demo.reading import History, Scrape

SAMPLES = """\
a2a_requests_total{agent="herald",operation="brief",status="success"} 2
a2a_requests_total{agent="navi",operation="research",status="error"} 1
a2a_active_tasks{agent="navi"} 1
gen_ai_invoke_agent_inference_calls_sum{gen_ai_agent_name="navi"} 3
gen_ai_invoke_agent_tool_calls_sum{gen_ai_agent_name="navi"} 5
gen_ai_execute_tool_duration_seconds_bucket{gen_ai_tool_name="look_up",le="0.1"} 3
gen_ai_execute_tool_duration_seconds_bucket{gen_ai_tool_name="look_up",le="+Inf"} 3
gen_ai_execute_tool_duration_seconds_count{gen_ai_tool_name="look_up"} 3
gen_ai_execute_tool_duration_seconds_bucket{gen_ai_tool_name="look_up",error_type="tool_error",le="0.1"} 1
gen_ai_execute_tool_duration_seconds_bucket{gen_ai_tool_name="look_up",error_type="tool_error",le="+Inf"} 1
gen_ai_execute_tool_duration_seconds_count{gen_ai_tool_name="look_up",error_type="tool_error"} 1
mcp_servers_up{mcp_server="glossary"} 1
mcp_servers_up{mcp_server="wiki"} 0
mcp_client_operation_duration_seconds_count{mcp_method_name="tools/call",error_type="tool_error"} 1
mcp_client_operation_duration_seconds_count{mcp_method_name="tools/call"} 3
rate_limit_hits_total{endpoint="/agents/{agent}/runs",workspace_id="acme",result="allowed"} 7
workspace_tokens_total{workspace_id="acme",kind="input"} 1200
workspace_tokens_total{workspace_id="acme",kind="output"} 34
workspace_cost_USD_total{workspace_id="acme"} 3.25
workspace_budget_USD{workspace_id="acme"} 2
workspace_budget_remaining_USD{workspace_id="acme"} -1.25
rate_limit_hits_total{endpoint="/agents/{agent}/runs",workspace_id="other",result="denied"} 4
"""


@pytest.fixture
def rows() -> dict[str, list[str]]:
    """The words of each line by the first one, as a reader sees them in a narrow terminal."""
    history = History()
    history.add(Scrape.parse(0, ""))
    history.add(Scrape.parse(10, SAMPLES))
    text = StringIO()
    Console(file=text, width=80).print(board(history, "title"))
    assert max(map(len, text.getvalue().splitlines())) <= 80
    return {words[0]: words[1:] for line in text.getvalue().splitlines() if (words := line.split())}


def test_agents_have_their_own_calls(rows: dict[str, list[str]]) -> None:
    """Requests, failed ones, quantiles, active tasks, and the agent's own calls of models and tools."""
    assert rows["navi"] == ["1", "1", "-", "-", "1", "3", "5"]
    assert rows["herald"] == ["2", "0", "-", "-", "0", "0", "0"]


def test_tools_and_mcp_requests_have_their_failures(rows: dict[str, list[str]]) -> None:
    """A tool's calls are all of them, the failed ones those with an error type; servers are up or down."""
    assert rows["look_up"] == ["4", "1", "95", "ms"]
    assert (rows["glossary"], rows["wiki"]) == (["up"], ["down"])
    assert rows["tools/call"] == ["4", "1", "-"]


def test_workspaces_have_their_tokens_and_money(rows: dict[str, list[str]]) -> None:
    """Tokens of all kinds, cost, budget and what is left, negative too; without a price or a budget a dash."""
    assert rows["acme"] == ["7", "0", "1,234", "$3.25", "$2.00", "-$1.25"]
    assert rows["other"] == ["0", "4", "0", "-", "-", "-"]


def test_a_service_without_agent_metrics_has_empty_tables() -> None:
    """Nothing is made up where there is no series."""
    history = History()
    history.add(Scrape.parse(0, ""))
    text = StringIO()
    Console(file=text, width=80).print(board(history, "title"))
    assert "look_up" not in text.getvalue()
    assert "MCP server" in text.getvalue()
