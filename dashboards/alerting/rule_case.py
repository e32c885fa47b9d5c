"""A case of an alert: what is scraped, and what the alert says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.config import JOB
from telemetry.metric import Metric

__all__ = ["Case", "series"]


@dataclass(frozen=True, slots=True)
class Case:
    """What is scraped, minute by minute, and what the alert says of it at a minute."""

    alert: str
    what: str
    given: Mapping[str, str]
    at: int
    """The minute; where the alert fires, it must not fire a minute earlier."""
    fires: tuple[tuple[Mapping[str, str], str], ...] = ()
    """Labels beyond those of the rule, and the value as the description writes it."""


def series(metric: Metric, part: str = "", /, *, le: str = "", **labels: str) -> str:
    """A scraped series with all of the metric's labels, no more and no fewer."""
    if set(labels) != set(metric.keys):
        raise ValueError(f"{metric.name} has the labels {', '.join(metric.keys)}, not {', '.join(labels)}")
    scraped = {"job": JOB, "instance": "agentos:8000", **labels} | ({"le": le} if le else {})
    inside = ", ".join(f'{key}="{value}"' for key, value in scraped.items())
    return f"{metric.prometheus_name}{'_' + part if part else ''}{{{inside}}}"
