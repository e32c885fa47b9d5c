"""The AgentOS dashboard: rows, places, ids and links. ``panels.py`` has what each panel asks."""

from __future__ import annotations

import json
from collections.abc import Iterator

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards import links, panels
from dashboards.panels import Panel
from dashboards.site import UID
from dashboards.variables import variables

__all__ = ["PANEL_IDS", "dashboard_json"]

ROWS = (
    ("Overview", panels.overview, 8, 4),
    ("A2A Request Metrics", panels.a2a, 12, 9),
    ("CCR Provider Metrics", panels.ccr, 12, 9),
    ("Rate Limiting & Cache", panels.limits_and_cache, 12, 9),
)
"""Title of each row, its panels, and their width and height on Grafana's grid of 24 columns."""

RUNBOOKS = {
    "A2A Requests (5m)": "A2ANoTraffic",
    "A2A p95 Latency": "A2ALatencyBudgetBurn",
    "A2A Error Rate": "A2AErrorBudgetBurn",
    "Active Tasks": "A2ATasksStuck",
    "Rate Limit Denials": "RateLimitWorkspaceDenied",
    "Request Rate by Agent": "A2ANoTraffic",
    "Request Duration Percentiles (p50, p95, p99)": "A2ALatencyBudgetBurn",
    "Active Tasks by Agent": "A2ATasksStuck",
    "Success vs Error Rate": "A2AErrorBudgetBurn",
    "Request Rate by Provider": "CCRProviderFailing",
    "Request Latency by Provider": "CCRProviderFailing",
    "Rate Limit Decisions": "RateLimitBackendFailing",
    "Cache Hit/Miss Rate": "CacheBackendFailing",
    "Cache Latency by Operation": "CacheBackendFailing",
}
"""Page of the runbook that a panel leads to."""

DETAILS = {
    "A2A Requests (5m)": "Request Rate by Agent",
    "A2A p95 Latency": "Request Duration Percentiles (p50, p95, p99)",
    "A2A Error Rate": "Success vs Error Rate",
    "Active Tasks": "Active Tasks by Agent",
    "CCR Tokens (1h)": "Token Usage by Provider",
    "Rate Limit Denials": "Rate Limit Decisions",
    "Cache Hit Ratio": "Cache Hit/Miss Rate",
}
"""Panel over time that a number leads to."""


def _numbered() -> Iterator[tuple[int, str, list[Panel]]]:
    number = 1
    for title, build, width, height in ROWS:
        row = [panel.span(width).height(height).id(number + n) for n, panel in enumerate(build(), start=1)]
        yield number, title, row
        number += len(row) + 1


PANEL_IDS: dict[str, int] = {
    str(built.title): built.id_val or 0 for _, _, row in _numbered() for built in (panel.build() for panel in row)
}
"""Id of each panel by its title; alerts and links lead there."""


def dashboard_json() -> str:
    """The dashboard as Grafana imports it."""
    board = (
        builders.Dashboard("AgentOS")
        .uid(UID)
        .description("A2A calls, model calls, rate limits and cache of AgentOS")
        .tags(["agentos"])
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .variables(variables())
        .links(links.top())
    )
    for number, title, row in _numbered():
        board = board.with_row(builders.Row(title).id(number).collapsed(False))
        for panel in row:
            board = board.with_panel(panel.links(_links(str(panel.build().title))))
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _links(title: str) -> list[links.Link]:
    found = [links.panel(PANEL_IDS[DETAILS[title]], DETAILS[title])] if title in DETAILS else []
    return found + ([links.runbook(RUNBOOKS[title])] if title in RUNBOOKS else [])
