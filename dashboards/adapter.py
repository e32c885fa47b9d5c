"""prometheus-adapter's rule for the number that the HorizontalPodAutoscaler reads: the active A2A tasks of each pod."""

from __future__ import annotations

from dashboards.config import JOB
from dashboards.promql import Query
from dashboards.yaml_text import to_yaml
from telemetry.agentos.catalogue import A2A_ACTIVE_TASKS

__all__ = ["adapter_yaml", "tasks_of_pods"]

PODS = "<<.LabelMatchers>>"
"""The adapter puts matchers of namespace and pods here."""

POD = "<<.GroupBy>>"
"""The adapter puts the label of the pods here."""


def adapter_yaml() -> str:
    """Returns values for the chart of prometheus-adapter.

    The rule is found by ``up``, so that the metric exists before the first agent does.
    """
    rule = {
        "seriesQuery": f'up{{job="{JOB}", namespace!="", pod!=""}}',
        "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
        "name": {"matches": "^up$", "as": A2A_ACTIVE_TASKS.prometheus_name},
        "metricsQuery": tasks_of_pods(),
    }
    return to_yaml({"rules": {"default": False, "custom": [rule]}})


def tasks_of_pods(pods: str = PODS, pod: str = POD) -> str:
    """Returns the query of active tasks by pod.

    A pod that has read no agent's card yet has no series. It counts as 0 while its scrapes succeed, and is unknown otherwise:
    the autoscaler does not take an unknown pod for an idle one when it removes pods.

    Args:
        pods: Matchers of the pods.
        pod: The label to group by.
    """
    job = f'job="{JOB}"'
    tasks = Query(job=JOB, variables={}).series(A2A_ACTIVE_TASKS).replace(job, f"{job}, {pods}")
    return f"sum by ({pod}) ({tasks}) or 0 * max by ({pod}) (up{{{job}, {pods}}} == 1)"
