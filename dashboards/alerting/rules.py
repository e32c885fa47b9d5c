"""Recording rules and alerts, as Prometheus reads them. ``site.py`` has the objectives, ``alerts.py`` the alerts."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.alerting.agentos import ALERTS
from dashboards.alerting.slo import SHARES, WINDOWS, record
from dashboards.yaml_text import text

__all__ = ["alerts_yaml", "recording_yaml"]


def recording_yaml() -> str:
    """The recording rules: the share of bad A2A calls over each window that an alert looks at."""
    groups = [
        {"name": f"agentos_{share.objective.name}", "rules": [_recording(share.name, share.expr(w), w) for w in WINDOWS]}
        for share in SHARES
    ]
    return text({"groups": groups})


def _recording(name: str, expr: str, window: str) -> dict[str, str]:
    return {"record": record(name, window), "expr": expr}


def alerts_yaml() -> str:
    """The alerts, each with severity, summary, description, and links to its panel and its runbook."""
    return text({"groups": [{"name": "agentos_alerts", "rules": list(_alerts())}]})


def _alerts() -> Iterator[dict[str, object]]:
    for alert in ALERTS:
        yield {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.wait,
            "labels": {"severity": alert.severity, **alert.labels},
            "annotations": alert.annotations,
        }
