"""Links: from a number to its panel, from a series to its traces, from a panel to its runbook, from an alert to both."""

from __future__ import annotations

import json
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.config import AGENTS_UID, GRAFANA, MODELS_UID, RUNBOOKS, RUNTIME_UID, UID

__all__ = ["Link", "dashboard_url", "only", "panel", "runbook", "runbook_url", "top", "traces_of"]

Link = cogbuilder.Builder[models.DashboardLink]

_VARIABLE = "${__field.labels.%s}"


def runbook_url(name: str) -> str:
    """Returns the address of a page of ``docs/runbooks``."""
    return f"{RUNBOOKS}/{name}.md"


def dashboard_url(uid: str = UID, *, panel: int | None = None, **variables: str) -> str:
    """Returns the address of a dashboard, for alerts.

    Args:
        uid: The dashboard's uid in Grafana.
        panel: Id of a panel that is shown in full size.
        variables: Values of the dashboard's variables.
    """
    query = [f"var-{key}={value}" for key, value in variables.items()]
    query += [f"viewPanel={panel}"] if panel else []
    return f"{GRAFANA}/d/{uid}" + (f"?{'&'.join(query)}" if query else "")


def runbook(name: str) -> Link:
    """Returns the link from a panel to its runbook."""
    return _link("Runbook", runbook_url(name), new_tab=True)


def panel(number: int, title: str) -> Link:
    """Returns the link to another panel of the same dashboard, with the same time range and variables."""
    return _link(title, f"/d/${{__dashboard.uid}}?viewPanel={number}&${{__url_time_range}}&${{__all_variables}}")


def only(name: str, key: str = "") -> Link:
    """Returns the link from a series to the whole dashboard, narrowed to the series' value of a label.

    Args:
        name: The dashboard's variable.
        key: Prometheus' key of the label; the variable's name if it is the same.
    """
    here = f"/d/${{__dashboard.uid}}?var-{name}={_VARIABLE % (key or name)}"
    return _link(f"Only this {name}", f"{here}&var-job=${{job}}&${{__url_time_range}}")


def traces_of(*keys: str) -> Link:
    """Returns the link from a series to the traces whose spans have its label values; ``keys`` are span attributes."""
    tags = " ".join(f"{key}={_VARIABLE % key.replace('.', '_')}" for key in keys)
    return _link("Traces of this series", _explore(tags), new_tab=True)


_BOARDS = {UID: "AgentOS", MODELS_UID: "AgentOS models", AGENTS_UID: "Agents & Tools & Tenants", RUNTIME_UID: "AgentOS runtime"}


def top(uid: str) -> list[Link]:
    """Returns the links above the panels of a dashboard; the first ones lead to the other dashboards."""
    others = [(title, other) for other, title in _BOARDS.items() if other != uid]
    return [
        *(_link(title, f"/d/{other}?var-job=${{job}}&${{__url_time_range}}") for title, other in others),
        _link("Traces", _explore(""), new_tab=True),
        _link("Alerts", "/alerting/list", new_tab=True),
        _link("Runbooks", runbook_url("README"), new_tab=True),
    ]


def _explore(tags: str) -> str:
    query = {"refId": "A", "queryType": "search", "service": "${job}", "tags": tags}
    pane = {
        "datasource": "${traces}",
        "queries": [query | {"datasource": {"type": "jaeger", "uid": "${traces}"}}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    # Grafana replaces ${...} in the address as it stands, so these stay unquoted.
    return "/explore?schemaVersion=1&panes=" + quote(json.dumps({"a": pane}, separators=(",", ":")), safe="${}:,")


def _link(title: str, url: str, *, new_tab: bool = False) -> Link:
    return builders.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).target_blank(new_tab)
