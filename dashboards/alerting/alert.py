"""One alert: what Prometheus evaluates, what the person on call reads, and the cases that promtool runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboards.alerting.slo import QUERY
from dashboards.config import JOB, UID
from dashboards.panels.agentos import AGENTOS
from dashboards.panels.agents import AGENTS
from dashboards.panels.links import dashboard_url, runbook_url
from dashboards.panels.models import MODELS
from dashboards.panels.runtime import RUNTIME
from dashboards.promql import Value
from telemetry.metric import Metric

__all__ = ["Alert", "Case", "error_ratio", "series"]

_BOARDS = (AGENTOS, MODELS, AGENTS, RUNTIME)
_PLACES = {title: (board.uid, number) for board in _BOARDS for title, number in board.panel_ids().items()}
"""Dashboard and id of each panel by its title."""


@dataclass(frozen=True, slots=True)
class Case:
    """A unit test of an alert: it fires at a minute and not one minute earlier, or it is silent at that minute."""

    what: str
    given: Mapping[str, str]
    """The scraped values of each series, minute by minute, as promtool writes them."""
    at: int
    """The minute at which the alert is looked at."""
    fires: Mapping[str, str] | None = None
    """Labels of the firing alert beyond those of the rule; None if the alert is silent."""
    value: str = ""
    """The value as the description writes it."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert with its test cases. Its page in ``docs/runbooks`` has the same name."""

    name: str
    severity: str
    wait: str
    expr: str
    summary: str
    description: str
    panel: str = ""
    """Title of the panel that the alert's dashboard link opens; empty for the whole dashboard."""
    narrow: tuple[str, ...] = ()
    """Label keys whose values the dashboard link puts into the variables of the same name, or ``variable=label key``."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the rule beside the severity."""
    cases: tuple[Case, ...] = ()

    @property
    def annotations(self) -> dict[str, str]:
        """The texts and links that Prometheus sends with the alert; ``$labels`` and ``$value`` are filled in by Prometheus."""
        narrowed = ((key.partition("=")[0], key.rpartition("=")[2]) for key in self.narrow)
        variables = {"job": JOB} | {variable: f"{{{{ $labels.{key} }}}}" for variable, key in narrowed}
        uid, panel = _PLACES[self.panel] if self.panel else (UID, None)
        return {
            "summary": self.summary,
            "description": self.description,
            "dashboard_url": dashboard_url(uid, panel=panel, **variables),
            "runbook_url": runbook_url(self.name),
        }


def error_ratio(metric: Metric, window: str, *by: str, **bad: Value) -> str:
    """Returns the share of a counter's or histogram's events whose labels have the values ``bad``."""
    return f"{QUERY.rate(metric, window, *by, **bad)}\n/\n{QUERY.rate(metric, window, *by)}"


def series(metric: Metric, part: str = "", /, *, le: str = "", instance: str = "agentos:8000", **labels: str) -> str:
    """Returns the name of a scraped series for a test. An empty value stands for a label that the series lacks.

    Raises:
        ValueError: If ``labels`` are not exactly the metric's labels.
    """
    if set(labels) != set(metric.keys):
        raise ValueError(f"{metric.name} has the labels {', '.join(metric.keys)}, not {', '.join(labels)}")
    own = {metric.label(key).prometheus_key: value for key, value in labels.items() if value}
    scraped = {"job": JOB, "instance": instance, **own} | ({"le": le} if le else {})
    inside = ", ".join(f'{key}="{value}"' for key, value in scraped.items())
    return f"{metric.prometheus_name}{'_' + part if part else ''}{{{inside}}}"
