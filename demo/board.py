"""The terminal's picture: the Overview row as tiles, and tables of agents, workspaces, providers and the cache."""

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
    tables = [_agents(history), _workspaces(history), _providers(history), _cache(history)]
    return Group(Text(title, style="bold"), Columns(tiles), Columns(tables, padding=(0, 3)))


def _agents(history: History) -> Table:
    rows = []
    for agent in history.last.values("a2a_requests_total", "agent"):
        p50, p95 = (history.quantile(q, DURATION, FIVE_MINUTES, agent=agent) for q in (0.5, 0.95))
        requests = history.increase("a2a_requests_total", FIVE_MINUTES, agent=agent)
        failed = history.increase("a2a_requests_total", FIVE_MINUTES, agent=agent, status="error")
        active = history.last.total("a2a_active_tasks", agent=agent)
        rows.append((agent, f"{requests:.0f}", f"{failed:.0f}", _seconds(p50), _seconds(p95), f"{active:.0f}"))
    return _table(("agent", "requests", "failed", "p50", "p95", "active"), rows)


def _workspaces(history: History) -> Table:
    rows = []
    for workspace in history.last.values("rate_limit_hits_total", "workspace_id"):
        decided = {
            result: history.increase("rate_limit_hits_total", FIVE_MINUTES, workspace_id=workspace, result=result)
            for result in ("allowed", "denied")
        }
        rows.append((workspace, f"{decided['allowed']:.0f}", f"{decided['denied']:.0f}"))
    return _table(("workspace", "allowed", "denied"), rows)


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
    return _table(("cache hits", "misses", "hit ratio"), [(f"{hits:.0f}", f"{misses:.0f}", ratio)])


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.0f} ms"
