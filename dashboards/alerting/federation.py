"""The rules beyond one Prometheus: what each cluster records of its instances, and what is made of it over all clusters.

A record keeps every label of its metric and drops the instance's. It holds rates, which can be added, also of buckets: so a
quantile or a burn rate over all clusters is computed from the same numbers as one over a single cluster, and is as exact.
"""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.alerting.slo import FAILED, QUERY, SLOW, WINDOWS, Share, failed_and_counted, record
from dashboards.config import LATENCY
from dashboards.promql import aggregation, only_numbers
from dashboards.yaml_text import to_yaml
from telemetry.agentos.catalogue import A2A_REQUEST_DURATION, A2A_REQUESTS, AGENTOS
from telemetry.agentos.catalogue_agents import ROWS as AGENT_ROWS
from telemetry.agentos.catalogue_models import ROWS as MODEL_ROWS
from telemetry.agentos.catalogue_workspaces import ROWS as WORKSPACE_ROWS
from telemetry.metric import Kind, Metric
from telemetry.runtime import RUNTIME

__all__ = ["federation_yaml", "fleet", "global_yaml"]

_BY = ("cluster", "job")
"""Labels beside a metric's own: ``cluster`` is there where one store holds several clusters' series."""

_WINDOW = "5m"

_GROUPS = {
    "agentos": tuple(AGENTOS),
    "models": MODEL_ROWS,
    "agents": AGENT_ROWS,
    "workspaces": WORKSPACE_ROWS,
    "runtime": tuple(row for row in RUNTIME if "worker" not in row.keys),  # a worker means nothing without its instance
}


def fleet(name: str, operation: str) -> str:
    """Returns the name of a record over all instances of a cluster, by the convention level:metric:operations."""
    return f"fleet:{name}:{operation}"


def federation_yaml() -> str:
    """Returns what each cluster records: every metric without the instance, and both parts of each objective's share."""
    groups = [
        {"name": f"{name}_fleet", "interval": "1m", "rules": [rule for row in rows for rule in _records(row)]}
        for name, rows in _GROUPS.items()
    ]
    return to_yaml({"groups": [*groups, {"name": "objectives_fleet", "rules": list(_parts())}]})


def global_yaml() -> str:
    """Returns what a Prometheus over all clusters records: the shares that the objectives' alerts and panels read."""
    rules = [
        {"record": record(share.name, window), "expr": _share(share, window)} for share in (FAILED, SLOW) for window in WINDOWS
    ]
    return to_yaml({"groups": [{"name": "objectives_global", "rules": rules}]})


def _records(metric: Metric) -> Iterator[dict[str, str]]:
    name, by = metric.prometheus_name, (*_BY, *(label.prometheus_key for label in metric.labels))
    if metric.kind is Kind.HISTOGRAM:
        native = f"rate({QUERY.series(metric, 'native')}[{_WINDOW}])"
        yield _rule(f"{name}_bucket", "sum", (*by, "le"), f"rate({QUERY.series(metric, 'bucket')}[{_WINDOW}])")
        yield _rule(f"{name}_sum", "sum", by, f"rate({QUERY.series(metric, 'sum')}[{_WINDOW}])")
        yield _rule(name, "sum", by, native)
    elif metric.is_counter:
        yield _rule(name.removesuffix("_total"), "sum", by, f"rate({QUERY.series(metric)}[{_WINDOW}])")
    else:
        how = "count" if metric.kind is Kind.INFO else aggregation(metric)
        yield _rule(name, how, by, QUERY.series(metric), how)


def _rule(name: str, function: str, by: tuple[str, ...], expr: str, operation: str = f"rate{_WINDOW}") -> dict[str, str]:
    return {"record": fleet(name, operation), "expr": f"{function} by ({', '.join(by)}) ({expr})"}


def _parts() -> Iterator[dict[str, str]]:
    """The bad calls a second and all calls a second, over each window of an alert."""
    for window in WINDOWS:
        failed, counted = failed_and_counted(window, _sum)
        every = _sum(f"rate({QUERY.series(A2A_REQUESTS)}[{window}])")
        yield {"record": fleet(FAILED.name, f"rate{window}"), "expr": f"{failed} or 0 * {every}"}
        yield {"record": fleet(f"{FAILED.name}_of", f"rate{window}"), "expr": counted}
    for window in WINDOWS:
        within, every = map(_sum, QUERY.rates_at_or_below(A2A_REQUEST_DURATION, LATENCY.under, window))
        yield {"record": fleet(SLOW.name, f"rate{window}"), "expr": f"{every}\n-\n{within}"}
        yield {"record": fleet(f"{SLOW.name}_of", f"rate{window}"), "expr": every}


def _sum(expr: str) -> str:
    return f"sum by ({', '.join(_BY)}) ({expr})"


def _share(share: Share, window: str) -> str:
    bad, every = (f"sum by (job) ({fleet(name, f'rate{window}')})" for name in (share.name, f"{share.name}_of"))
    return only_numbers(f"{bad}\n/\n{every}")
