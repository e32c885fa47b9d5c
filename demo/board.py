"""The terminal's picture: the Overview row as tiles, and tables of agents, tools, MCP, workspaces, providers and the cache."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.reading import History

__all__ = ["board", "overview"]

FIVE_MINUTES = 300.0
HOUR = 3600.0
DURATION = "a2a_request_duration_seconds"
INVOCATION = "gen_ai_invoke_agent_duration_seconds"
TOOL = "gen_ai_execute_tool_duration_seconds"
MCP = "mcp_client_operation_duration_seconds"


def overview(history: History) -> dict[str, str]:
    """Returns the value of each panel of the dashboard's Overview row, by title."""
    requests = history.increase("a2a_requests_total", FIVE_MINUTES)
    errors = history.increase("a2a_requests_total", FIVE_MINUTES, status="error")
    return {
        "A2A Requests (5m)": f"{requests:.0f}",
        "A2A p95 Latency": _seconds(history.quantile(0.95, DURATION, FIVE_MINUTES)),
        "A2A Error Rate": f"{100 * errors / requests:.1f} %" if requests else "-",
        "Active Tasks": f"{history.last.total('a2a_active_tasks'):.0f}",
        "CCR Tokens (1h)": f"{history.increase('ccr_tokens_total', HOUR):,.0f}",
        "Rate Limit Denials": f"{history.increase('rate_limit_hits_total', FIVE_MINUTES, result='denied'):.0f}",
    }


def board(history: History, title: str) -> RenderableType:
    """Returns the whole picture."""
    tiles = [
        Panel(Text(value, style="bold green", justify="center"), title=name, width=24)
        for name, value in overview(history).items()
    ]
    tables = (
        _agents(history),
        Columns([_tools(history), _mcp(history)], padding=(0, 3)),
        _workspaces(history),
        Columns([_providers(history), _cache(history)], padding=(0, 3)),
    )
    return Group(Text(title, style="bold"), Columns(tiles), *tables)


def _agents(history: History) -> Table:
    """Calls of each agent, and its own calls of models and tools."""
    rows = []
    for agent in history.last.values("a2a_requests_total", "agent"):
        p50, p95 = (history.quantile(q, DURATION, FIVE_MINUTES, agent=agent) for q in (0.5, 0.95))
        requests = history.increase("a2a_requests_total", FIVE_MINUTES, agent=agent)
        failed = history.increase("a2a_requests_total", FIVE_MINUTES, agent=agent, status="error")
        active = history.last.total("a2a_active_tasks", agent=agent)
        models, tools = (
            history.increase(f"gen_ai_invoke_agent_{name}_calls_sum", FIVE_MINUTES, gen_ai_agent_name=agent)
            for name in ("inference", "tool")
        )
        numbers = (f"{requests:.0f}", f"{failed:.0f}", _seconds(p50), _seconds(p95), f"{active:.0f}")
        rows.append((agent, *numbers, f"{models:.0f}", f"{tools:.0f}"))
    return _table(("agent", "requests", "failed", "p50", "p95", "active", "models", "tools"), rows)


def _tools(history: History) -> Table:
    rows = []
    for tool in history.last.values(f"{TOOL}_count", "gen_ai_tool_name"):
        calls = history.increase(f"{TOOL}_count", FIVE_MINUTES, gen_ai_tool_name=tool)
        failed = _failures(history, f"{TOOL}_count", gen_ai_tool_name=tool)
        p95 = history.quantile(0.95, TOOL, FIVE_MINUTES, gen_ai_tool_name=tool)
        rows.append((tool, f"{calls:.0f}", f"{failed:.0f}", _seconds(p95)))
    return _table(("tool", "calls", "failed", "p95"), rows)


def _mcp(history: History) -> Table:
    """The MCP servers and the requests sent to them."""
    rows = []
    for server in history.last.values("mcp_servers_up", "mcp_server"):
        rows.append((server, "up" if history.last.total("mcp_servers_up", mcp_server=server) else "down", "", "", ""))
    for method in history.last.values(f"{MCP}_count", "mcp_method_name"):
        calls = history.increase(f"{MCP}_count", FIVE_MINUTES, mcp_method_name=method)
        failed = _failures(history, f"{MCP}_count", mcp_method_name=method)
        p95 = history.quantile(0.95, MCP, FIVE_MINUTES, mcp_method_name=method)
        rows.append((f"  {method}", "", f"{calls:.0f}", f"{failed:.0f}", _seconds(p95)))
    return _table(("MCP server", "state", "calls", "failed", "p95"), rows)


def _workspaces(history: History) -> Table:
    """Requests of each workspace, and its tokens and money in all."""
    rows = []
    for workspace in history.last.values("rate_limit_hits_total", "workspace_id"):
        decided = {
            result: history.increase("rate_limit_hits_total", FIVE_MINUTES, workspace_id=workspace, result=result)
            for result in ("allowed", "denied")
        }
        tokens = history.last.total("workspace_tokens_total", workspace_id=workspace)
        money = [
            _dollars(history, name, workspace)
            for name in ("workspace_cost_USD_total", "workspace_budget_USD", "workspace_budget_remaining_USD")
        ]
        rows.append((workspace, f"{decided['allowed']:.0f}", f"{decided['denied']:.0f}", f"{tokens:,.0f}", *money))
    return _table(("workspace", "allowed", "denied", "tokens", "cost", "budget", "left"), rows)


def _providers(history: History) -> Table:
    rows = []
    for provider in history.last.values("ccr_requests_total", "provider"):
        calls = history.increase("ccr_requests_total", FIVE_MINUTES, provider=provider)
        failed = history.increase("ccr_requests_total", FIVE_MINUTES, provider=provider, status="error")
        read = history.increase("ccr_tokens_total", FIVE_MINUTES, provider=provider, direction="input")
        written = history.increase("ccr_tokens_total", FIVE_MINUTES, provider=provider, direction="output")
        rows.append((provider, f"{calls:.0f}", f"{failed:.0f}", f"{read:,.0f}", f"{written:,.0f}"))
    return _table(("provider", "calls", "failed", "tokens in", "tokens out"), rows)


def _cache(history: History) -> Table:
    hits, misses = (
        history.increase("cache_operations_total", FIVE_MINUTES, operation="get", result=result) for result in ("hit", "miss")
    )
    ratio = f"{100 * hits / (hits + misses):.0f} %" if hits + misses else "-"
    return _table(("cache", "hits", "misses", "hit ratio"), [("answers", f"{hits:.0f}", f"{misses:.0f}", ratio)])


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A table whose first column and numbers stand below those of the other tables."""
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right", min_width=14 if number == 0 else 7)
    for row in rows:
        table.add_row(*row)
    return table


def _failures(history: History, name: str, **labels: str) -> float:
    """The increase of the series that have an ``error_type``."""
    kinds = history.last.values(name, "error_type")
    return sum(history.increase(name, FIVE_MINUTES, error_type=kind, **labels) for kind in kinds if kind)


def _dollars(history: History, name: str, workspace: str) -> str:
    found = [value for _, value in history.last.select(name, workspace_id=workspace)]
    return f"{'-' if found[0] < 0 else ''}${abs(found[0]):,.2f}" if found else "-"


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.0f} ms"
