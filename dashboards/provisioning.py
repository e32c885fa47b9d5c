"""Grafana's provisioning: the data sources, with the links between metrics and traces, and the dashboards' folder."""

from __future__ import annotations

from dashboards.config import JOB
from dashboards.promql import Query
from dashboards.yaml_text import to_yaml
from telemetry.agentos.catalogue import A2A_REQUEST_DURATION, A2A_REQUESTS, CACHE_OPERATIONS, CCR_REQUESTS, RATE_LIMIT_HITS

__all__ = ["dashboards_yaml", "datasources_with_tempo_yaml", "datasources_yaml"]

PROMETHEUS, JAEGER, TEMPO = "agentos-prometheus", "agentos-jaeger", "agentos-tempo"

COUNTERS = (A2A_REQUESTS, CCR_REQUESTS, CACHE_OPERATIONS, RATE_LIMIT_HITS)
"""One counter for each kind of measured span."""

SCRAPE_INTERVAL = "15s"


def datasources_yaml() -> str:
    """Returns the data sources: Prometheus with exemplar links to Jaeger, and Jaeger with links from spans to metrics."""
    return _datasources(_prometheus(_exemplar_link(JAEGER, "Trace")), _traces("Jaeger", JAEGER))


def datasources_with_tempo_yaml() -> str:
    """Returns the data sources where Tempo stores the traces too: exemplars lead to Tempo and to Jaeger.

    Jaeger stays, because the dashboards' links from lines to traces search in it.
    """
    links = _exemplar_link(TEMPO, "Trace"), _exemplar_link(JAEGER, "Trace in Jaeger")
    return _datasources(_prometheus(*links), _traces("Jaeger", JAEGER), _traces("Tempo", TEMPO))


def dashboards_yaml() -> str:
    """Returns the provider that loads every dashboard in Grafana's dashboard folder."""
    provider = {"name": "AgentOS", "type": "file", "allowUiUpdates": False, "options": {"path": "/var/lib/grafana/dashboards"}}
    return to_yaml({"apiVersion": 1, "providers": [provider]})


def _datasources(*sources: dict[str, object]) -> str:
    return to_yaml({"apiVersion": 1, "datasources": list(sources)})


def _exemplar_link(uid: str, label: str) -> dict[str, str]:
    return {"name": "trace_id", "datasourceUid": uid, "urlDisplayLabel": label}


def _prometheus(*exemplar_links: dict[str, str]) -> dict[str, object]:
    return {
        "name": "Prometheus",
        "uid": PROMETHEUS,
        "type": "prometheus",
        "access": "proxy",
        "url": "$PROMETHEUS_URL",
        "isDefault": True,
        "jsonData": {
            "httpMethod": "POST",
            "timeInterval": SCRAPE_INTERVAL,
            "prometheusType": "Prometheus",
            "prometheusVersion": "3.0.0",
            "exemplarTraceIdDestinations": list(exemplar_links),
        },
    }


def _traces(name: str, uid: str) -> dict[str, object]:
    return {
        "name": name,
        "uid": uid,
        "type": name.lower(),
        "access": "proxy",
        "url": f"${name.upper()}_URL",
        "jsonData": {
            "nodeGraph": {"enabled": True},
            "tracesToMetrics": {
                "datasourceUid": PROMETHEUS,
                "spanStartTimeShift": "-15m",
                "spanEndTimeShift": "15m",
                "tags": [{"key": key} for key in span_keys()],
                "queries": [{"name": title, "query": query.replace("$", "$$")} for title, query in span_queries().items()],
            },
        },
    }


def span_keys() -> list[str]:
    """Returns the label keys that a measured span has as attributes of the same name."""
    return list(dict.fromkeys(label.key for metric in COUNTERS for label in metric.labels if label.on_span))


def span_queries() -> dict[str, str]:
    """Returns queries about the series that counted a span, by title; Grafana replaces ``$__tags`` with the span's labels.

    A span's label keys fit one counter only, so one query serves every kind of span.
    """
    names = "|".join(metric.prometheus_name for metric in COUNTERS)
    job = f'job="{JOB}"'
    p95 = Query(job=JOB, variables={}).quantile(0.95, A2A_REQUEST_DURATION, "5m")
    return {
        "Rate of this series": f'sum(rate({{__name__=~"{names}", {job}, $__tags}}[5m]))',
        "Count of this series": f'sum({{__name__=~"{names}", {job}, $__tags}})',
        "p95 of this series (A2A calls)": p95.replace(job, f"{job}, $__tags"),
    }
