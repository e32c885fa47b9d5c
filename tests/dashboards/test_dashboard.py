"""The dashboard as committed: what SPEC and operators expect to find in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).parents[2]

PANELS = {
    "Overview": [
        "A2A Requests (5m)", "A2A p95 Latency", "A2A Error Rate", "Active Tasks", "CCR Tokens (1h)", "Rate Limit Denials",
    ],
    "A2A Request Metrics": [
        "Request Rate by Agent", "Request Duration Percentiles (p50, p95, p99)", "Active Tasks by Agent",
        "Success vs Error Rate",
    ],
    "CCR Provider Metrics": [
        "Request Rate by Provider", "Token Usage by Provider", "Request Latency by Provider", "Requests by Task Type",
    ],
    "Rate Limiting & Cache": ["Rate Limit Decisions", "Cache Hit/Miss Rate", "Cache Hit Ratio", "Cache Latency by Operation"],
}  # fmt: skip


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "dashboards/agentos-dashboard.json").read_text())
    return loaded


def test_the_22_panels_stand_in_their_order(board: dict[str, Any]) -> None:
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
    """The variables stand in their order, the job is agentos, and every label starts with All."""
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables) == ["datasource", "traces", "job", "agent", "operation", "provider", "workspace_id"]
    assert variables["job"]["current"]["value"] == "agentos"
    assert [variables[name]["current"]["value"] for name in list(variables)[3:]] == [["$__all"]] * 4


def test_the_dashboard_imports_into_any_grafana(board: dict[str, Any]) -> None:
    """No id of a Grafana is in it, and its schema is not newer than that of Grafana 10.0; later ones migrate it."""
    assert board.get("id") is None
    assert board["uid"] == "agentos"
    assert board["schemaVersion"] <= 38


def test_the_dashboard_round_trips_through_the_types_of_grafana(board: dict[str, Any]) -> None:
    """Read into the foundation SDK's types and written again it is the same, so that Grafana drops nothing of it."""
    register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    assert again == board


def test_a_panel_and_its_links_lead_to_places_that_exist(board: dict[str, Any]) -> None:
    """Every link to a panel names the panel with that id, and every runbook link a page."""
    titles = {str(panel["id"]): panel["title"] for panel in board["panels"]}
    for panel in board["panels"]:
        for link in panel.get("links", []):
            if "viewPanel=" in link["url"]:
                assert titles[link["url"].split("viewPanel=")[1].split("&")[0]] == link["title"]
            else:
                assert (ROOT / "docs/runbooks" / link["url"].rsplit("/", 1)[1]).is_file()
