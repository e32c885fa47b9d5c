"""The dashboards' variables: two data sources, the job, and one per label that narrows the queries to some values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.config import JOB
from dashboards.panels.theme import DATASOURCE
from dashboards.promql import Query
from telemetry.agentos.catalogue import A2A_REQUESTS, AGENTOS_INFO, CCR_REQUESTS, RATE_LIMIT_HITS, WORKSPACE
from telemetry.agentos.catalogue_agents import (
    AGENT_NAME,
    EXECUTE_TOOL_DURATION,
    INVOKE_AGENT_DURATION,
    MCP_SERVER,
    MCP_SERVERS_UP,
    TOOL_NAME,
)
from telemetry.agentos.catalogue_models import FALLBACKS, FROM, INTER_TOKEN_LATENCY, MODEL_TOKENS, QUOTA_LIMIT
from telemetry.agentos.catalogue_workspaces import WORKSPACE_BUDGET, WORKSPACE_TOKENS
from telemetry.metric import Kind, Label, Metric, open_label
from telemetry.runtime.catalogue import WORKER, WORKER_AGE, WORKERS

__all__ = [
    "AGENTS_QUERY",
    "MODELS_QUERY",
    "QUERY",
    "RUNTIME_QUERY",
    "agent_variables",
    "model_variables",
    "runtime_variables",
    "variables",
]

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


_AGENTS_LABELS = {
    "agent": (INVOKE_AGENT_DURATION, AGENT_NAME, "Agent"),
    "tool": (EXECUTE_TOOL_DURATION, TOOL_NAME, "Tool"),
    "mcp_server": (MCP_SERVERS_UP, MCP_SERVER, "MCP server"),
    "workspace_id": (WORKSPACE_TOKENS, WORKSPACE, "Workspace"),
}
"""Name of each variable of the third dashboard -> the metric and the label that its values come from, and its title."""

AGENTS_QUERY = Query(job="$job", variables={label.key: f"${{{name}:regex}}" for name, (_, label, _) in _AGENTS_LABELS.items()})
"""Queries of the third dashboard."""

_RUNTIME_LABELS = {
    "instance": (WORKERS, open_label("instance", "Address that Prometheus scrapes", limit=1), "Instance"),
    "worker": (WORKER_AGE, WORKER, "Worker"),
}
"""The same for the fourth dashboard. The label ``instance`` is Prometheus' own."""

RUNTIME_QUERY = Query(job="$job", variables={key: f"${{{key}:regex}}" for key in _RUNTIME_LABELS})
"""Queries of the fourth dashboard."""


@dataclass(frozen=True, slots=True)
class _Count:
    """How many values a label has: it stands in the title of a row that is collapsed, so that an empty row is not opened."""

    metric: Metric
    label: str
    description: str


_MODELS_COUNTS = {
    "streaming": _Count(INTER_TOKEN_LATENCY, "provider", "How many providers have streamed"),
    "quotas": _Count(QUOTA_LIMIT, "provider", "How many providers tell their quota"),
}
_AGENTS_COUNTS = {
    "budgets": _Count(WORKSPACE_BUDGET, "workspace_id", "How many workspaces have a budget"),
    "mcp_servers": _Count(MCP_SERVERS_UP, "mcp_server", "How many MCP servers are connected, or should be"),
}


def variables() -> list[cogbuilder.Builder[models.VariableModel]]:
    """Returns the first dashboard's variables in the order of the screen."""
    return [*_sources(), *(_label(key, metric, metric.label(key), title) for key, (metric, title) in _LABELS.items())]


def model_variables() -> list[cogbuilder.Builder[models.VariableModel]]:
    """Returns the second dashboard's variables in the order of the screen, and the hidden ones of its rows' titles."""
    labels = (_label(key, metric, metric.label(key), title) for key, (metric, title) in _MODELS_LABELS.items())
    return [*_sources(), *labels, *_counts(_MODELS_COUNTS)]


def agent_variables() -> list[cogbuilder.Builder[models.VariableModel]]:
    """Returns the third dashboard's variables in the order of the screen, and the hidden ones of its rows' titles."""
    labels = (_label(name, *of) for name, of in _AGENTS_LABELS.items())
    return [*_sources(), *labels, *_counts(_AGENTS_COUNTS)]


def runtime_variables() -> list[cogbuilder.Builder[models.VariableModel]]:
    """Returns the fourth dashboard's variables in the order of the screen."""
    return [*_sources(), *(_label(name, *of) for name, of in _RUNTIME_LABELS.items())]


def _sources() -> list[cogbuilder.Builder[models.VariableModel]]:
    return [
        _datasource("datasource", "Metrics", "prometheus", "Prometheus that scrapes AgentOS"),
        _datasource("traces", "Traces", "jaeger", "Trace store that the links lead to"),
        _job(),
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


def _label(name: str, metric: Metric, label: Label, title: str) -> builders.QueryVariable:
    # Only the agent narrows the choice of another variable. A variable that narrowed itself could never be widened again.
    narrow = Query(job="$job", variables={"agent": "${agent:regex}"} if name == "operation" else {})
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        _query(name, title, f"label_values({_series(narrow, metric)}, {label.prometheus_key})")
        .description(label.description)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def _counts(counts: Mapping[str, _Count]) -> list[builders.QueryVariable]:
    return [_count(name, count) for name, count in counts.items()]


def _count(name: str, count: _Count) -> builders.QueryVariable:
    key = count.metric.label(count.label).prometheus_key
    found = _series(Query(job="$job", variables={}), count.metric)
    none = models.VariableOption(selected=True, text="0", value="0")
    return (
        _query(name, name, f"query_result(count(count by ({key}) ({found})) or vector(0))")
        .description(count.description)
        .regex("/} ([0-9]+) /")  # Grafana shows a result as {labels} value time
        .hide(models.VariableHide.HIDE_VARIABLE)
        .current(none)
        .multi(False)
    )


def _series(query: Query, metric: Metric) -> str:
    """The selector of a metric's series; a histogram's in each form."""
    if metric.kind is not Kind.HISTOGRAM:
        return query.series(metric)
    return f'{{__name__=~"{metric.prometheus_name}(_count)?", job="{query.job}"}}'


def _query(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
    )
