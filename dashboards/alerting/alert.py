"""One alert: what the rules, their tests and the runbooks know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboards.alerting.slo import RULES
from dashboards.config import JOB, UID
from dashboards.panels.dashboard import PLACES
from dashboards.panels.links import dashboard_url, runbook_url
from telemetry.metric import Metric

__all__ = ["Alert", "error_ratio"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. Its name is also that of its page in ``docs/runbooks``."""

    name: str
    severity: str
    wait: str
    expr: str
    summary: str
    description: str
    panel: str = ""
    """Title of the panel that shows it, if there is one."""
    narrow: tuple[str, ...] = ()
    """Label keys of the alert that narrow the dashboard."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def annotations(self) -> dict[str, str]:
        variables = {"job": JOB} | {key: f"{{{{ $labels.{key} }}}}" for key in self.narrow}
        uid, panel = PLACES[self.panel] if self.panel else (UID, None)
        return {
            "summary": self.summary,
            "description": self.description,
            "dashboard_url": dashboard_url(uid, panel=panel, **variables),
            "runbook_url": runbook_url(self.name),
        }


def error_ratio(metric: Metric, window: str, *by: str, **bad: str) -> tuple[str, str]:
    """The share of bad events, and how many there were."""
    share = f"{RULES.rate(metric, window, *by, part='', **bad)}\n/\n{RULES.rate(metric, window, *by)}"
    return share, RULES.increase(metric, window, *by, offset="", **bad)
