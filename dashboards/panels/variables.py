"""The dashboards' variables: two data sources, the job, and one per label that narrows the queries to some values."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.config import JOB
from dashboards.panels.theme import DATASOURCE
from dashboards.promql import Query
from telemetry.agentos.catalogue import A2A_REQUESTS, AGENTOS_INFO, CCR_REQUESTS, RATE_LIMIT_HITS
from telemetry.agentos.catalogue_models import FALLBACKS, FROM, MODEL_TOKENS
from telemetry.metric import Metric

__all__ = ["MODELS_QUERY", "QUERY", "model_variables", "variables"]

_LABELS = {
    "agent": (A2A_REQUESTS, "Agent"),
    "operation": (A2A_REQUESTS, "Operation"),
    "provider": (CCR_REQUESTS, "Provider"),
    "workspace_id": (RATE_LIMIT_HITS, "Workspace"),
}
"""Label key of each variable -> the metric that its values come from, and its title on the screen."""

_MODELS_LABELS = {"provider": (CCR_REQUESTS, "Provider"), "model": (MODEL_TOKENS, "Model"), "agent": (A2A_REQUESTS, "Agent")}
"""The same for the second dashboard."""

QUERY = Query(job="$job", variables={key: f"${{{key}:regex}}" for key in _LABELS})
"""Queries of the first dashboard: its variables narrow every metric that has their open label."""

MODELS_QUERY = Query(
    job="$job",
    variables={key: f"${{{key}:regex}}" for key in _MODELS_LABELS} | {FALLBACKS.label(FROM.key).key: "${provider:regex}"},
)
"""Queries of the second dashboard. A fall-back belongs to the provider that did not answer."""


def variables() -> list[cogbuilder.Builder[models.VariableModel]]:
    """Returns the first dashboard's variables in the order of the screen."""
    return _variables(_LABELS)


def model_variables() -> list[cogbuilder.Builder[models.VariableModel]]:
    """Returns the second dashboard's variables in the order of the screen."""
    return _variables(_MODELS_LABELS)


def _variables(labels: Mapping[str, tuple[Metric, str]]) -> list[cogbuilder.Builder[models.VariableModel]]:
    return [
        _datasource("datasource", "Metrics", "prometheus", "Prometheus that scrapes AgentOS"),
        _datasource("traces", "Traces", "jaeger", "Trace store that the links lead to"),
        _job(),
        *(_label(key, metric, label) for key, (metric, label) in labels.items()),
    ]


def _datasource(name: str, label: str, kind: str, description: str) -> builders.DatasourceVariable:
    return builders.DatasourceVariable(name).label(label).type(kind).description(description)


def _job() -> builders.QueryVariable:
    current = models.VariableOption(selected=True, text=JOB, value=JOB)
    return (
        _query("job", "Job", f"label_values({AGENTOS_INFO.prometheus_name}, job)")
        .description("Scrape job; one at a time, so that no sum counts a call twice")
        .current(current)
        .multi(False)
    )


def _label(key: str, metric: Metric, label: str) -> builders.QueryVariable:
    # Only the agent narrows the choice of another variable. A variable that narrowed itself could never be widened again.
    narrow = Query(job="$job", variables={"agent": "${agent:regex}"} if key == "operation" else {})
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        _query(key, label, f"label_values({narrow.series(metric)}, {metric.label(key).key})")
        .description(metric.label(key).description)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def _query(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
    )
