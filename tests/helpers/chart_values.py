"""Values of the Helm chart in few combinations, which hold each pair of values."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack.manifests import render

__all__ = ["COMBINATIONS", "OTHER", "combinations", "rendered"]

OTHER: dict[str, Any] = {
    "fullnameOverride": "shop",
    "image.digest": "sha256:" + "0" * 64,
    "imagePullSecrets": [{"name": "registry"}],
    "replicas": 0,
    "workers": 1,
    "listenHost": "::",
    "shutdownTimeout": 0.5,
    "preStopSeconds": 0,
    "settings": {"AGENTOS_RATE_LIMIT": "10/second", "OTEL_RESOURCE_ATTRIBUTES": "team=shop"},
    "redis.url": "redis://redis:6379/0",
    "otlp.endpoint": "https://collector.example.com:4318",
    "otlp.protocol": "http/protobuf",
    "prices": {"models": {"small": {"input": 0.15}}},
    "budgets": {"acme": {"usd": 12345678}},
    "secret": {
        "existing": "agentos",
        "keys": {"metricsTokens": "tokens", "apiKeys": "keys"},
        "env": {"OPENAI_API_KEY": "openai"},
    },
    "metrics.port": 9100,
    "metrics.models": False,
    "metrics.nativeHistograms": True,
    "metrics.monitor": "PodMonitor",
    "metrics.labels": {"release": "kps", "number": "1"},
    "rules.enabled": False,
    "rules.labels": {"on": "true"},
    "links.grafana": "https://grafana.example.com",
    "links.runbooks": "https://wiki.example.com/agentos",
    "dashboards.enabled": False,
    "dashboards.namespace": "monitoring",
    "collector.enabled": True,
    "collector.tailSampling": True,
    "collector.storage.className": "fast",
    "collector.env": [{"name": "TRACES_AUTHORIZATION", "valueFrom": {"secretKeyRef": {"name": "traces", "key": "header"}}}],
    "service.type": "NodePort",
    "service.ipFamilyPolicy": "PreferDualStack",
    "networkPolicy.enabled": False,
    "networkPolicy.from": [{"podSelector": {}}],
    "networkPolicy.https": [],
    "podDisruptionBudget.enabled": False,
    "podDisruptionBudget.maxUnavailable": "25%",
    "autoscaling.enabled": True,
    "autoscaling.cpuPercent": 0,
    "serviceAccount.create": False,
    "serviceAccount.name": "runner",
    "resources": {},
    "podAnnotations": {"checked": "true"},
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "agentos"}},
        }
    ],
    "volumes": [{"name": "ledger", "emptyDir": {}}],
}
"""A value for each name that differs from the default."""

_BASE = {"metrics": {"monitor": "ServiceMonitor"}, "rules": {"enabled": True}}
COMBINATIONS = 10


def _nested(values: Mapping[str, Any], base: Mapping[str, Any] = _BASE) -> dict[str, Any]:
    """Returns the tree of values whose names have dots between their parts."""
    tree: dict[str, Any] = json.loads(json.dumps(base))
    for name, value in values.items():
        *parents, last = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def combinations() -> list[dict[str, Any]]:
    """Returns few choices of the values, in which each two values meet in all four ways.

    A value differs from the default in half of the choices, always in the first one. Two such halves share the first choice,
    each has one that the other lacks, and so both lack another one.
    """
    halves = itertools.combinations(range(1, COMBINATIONS), COMBINATIONS // 2 - 1)
    chosen = dict(zip(OTHER, ({0, *half} for half in halves), strict=False))
    return [{name: OTHER[name] for name in OTHER if number in chosen[name]} for number in range(COMBINATIONS)]


def rendered(folder: Path, values: Mapping[str, Any]) -> str:
    """Renders the chart with values by their names; the folder holds their file."""
    path = folder / "values.json"
    path.write_text(json.dumps(_nested(values)))
    return render("--values", str(path))
