"""When each alert must fire, and when not. The cases of the objectives' alerts are in ``rule_tests.py``, those of the model
calls' in ``model_rule_cases.py``.
"""

from __future__ import annotations

from dashboards.alerting.model_rule_cases import MODEL_CASES
from dashboards.alerting.rule_case import Case, series
from dashboards.config import JOB
from telemetry.agentos.catalogue import A2A_ACTIVE_TASKS, A2A_REQUESTS, CACHE_OPERATIONS, CCR_REQUESTS, RATE_LIMIT_HITS
from telemetry.metric import telemetry_metrics

__all__ = ["CASES"]


def _up(instance: str) -> str:
    return f'up{{job="{JOB}", instance="{instance}"}}'


def _navi(status: str) -> str:
    return series(A2A_REQUESTS, agent="navi", operation="query", status=status)


def _model(status: str) -> str:
    return series(CCR_REQUESTS, provider="openai", task_type="chat", status=status)


def _limit(workspace: str, result: str) -> str:
    return series(RATE_LIMIT_HITS, endpoint="/api/runs", workspace_id=workspace, result=result)


def _get(result: str) -> str:
    return series(CACHE_OPERATIONS, operation="get", result=result)


_TASKS = series(A2A_ACTIVE_TASKS, agent="navi")
_FULL = series(telemetry_metrics.OVERFLOW, metric="rate_limit_hits_total", label="workspace_id")
_QUEUE = 'otelcol_exporter_queue_{}{{job="collector", instance="otel:8888", exporter="otlp_grpc/jaeger"{}}}'
_SIZE, _CAPACITY = _QUEUE.format("size", ', data_type="traces"'), _QUEUE.format("capacity", "")

CASES = (
    Case("AgentOSDown", "fires when no target answers", {_up("a"): "1x5 0x5", _up("b"): "1x4 0x6"}, 8, (({}, ""),)),
    Case("AgentOSDown", "fires when the job has no target any more", {_up("a"): "1x5 _x20"}, 12, (({}, ""),)),
    Case("AgentOSDown", "is silent while one of two answers", {_up("a"): "1x10", _up("b"): "0x10"}, 10),
    Case(
        "AgentOSInstanceDown",
        "fires for the one that does not answer",
        {_up("a"): "1x20", _up("b"): "1x5 0x15"},
        11,
        (({"instance": "b"}, ""),),
    ),
    Case("AgentOSInstanceDown", "is silent during a restart of four minutes", {_up("a"): "1x5 0x3 1x10"}, 11),
    Case(
        "A2ANoTraffic",
        "fires ten minutes after the last call, and the wait",
        {_navi("success"): "0+3x100 300x30"},
        114,
        (({}, "168"),),
    ),
    Case("A2ANoTraffic", "is silent where calls are rare", {_navi("success"): "0x40 1x10 2x60"}, 110),
    Case("A2ANoTraffic", "is silent where one call comes now and then", {_navi("success"): "0+3x100 300x8 301x8 302x8"}, 124),
    Case(
        "A2ATasksStuck",
        "fires when calls run and none ends",
        {_TASKS: "0x5 2x40", _navi("success"): "7x45", _navi("error"): "0x45"},
        25,
        (({"agent": "navi"}, "2"),),
    ),
    Case(
        "A2ATasksStuck",
        "fires when the first call of all hangs, before its counters exist",
        {_TASKS: "0x5 1x40"},
        25,
        (({"agent": "navi"}, "1"),),
    ),
    Case("A2ATasksStuck", "is silent while calls end", {_TASKS: "2x60", _navi("success"): "0+1x60"}, 45),
    Case("A2ATasksStuck", "is silent while nothing runs", {_TASKS: "0x60", _navi("success"): "7x60"}, 45),
    Case(
        "CCRProviderFailing",
        "fires when a third of the calls fail",
        {_model("success"): "0+2x20", _model("error"): "0+1x20"},
        11,
        (({"provider": "openai"}, "33.33%"),),
    ),
    Case("CCRProviderFailing", "is silent when a fifth fails", {_model("success"): "0+4x20", _model("error"): "0+1x20"}, 20),
    Case("CCRProviderFailing", "is silent when four calls in all failed", {_model("error"): "0 1 2 3 4x20"}, 12),
    Case(
        "RateLimitWorkspaceDenied",
        "fires for the workspace that is refused",
        {_limit("acme", "allowed"): "0+1x20", _limit("acme", "denied"): "0+9x20", _limit("zen", "allowed"): "0+9x20"},
        8,
        (({"workspace_id": "acme"}, "90%"),),
    ),
    Case(
        "RateLimitWorkspaceDenied",
        "is silent when less than half is refused",
        {_limit("acme", "allowed"): "0+6x20", _limit("acme", "denied"): "0+4x20"},
        20,
    ),
    Case(
        "RateLimitWorkspaceDenied",
        "is silent over a few refusals",
        {_limit("acme", "allowed"): "0x30", _limit("acme", "denied"): "0x5 0+2x8 16x16"},
        20,
    ),
    Case(
        "RateLimitBackendFailing",
        "fires when requests pass without a limit",
        {_limit("acme", "allowed"): "0+96x20", _limit("acme", "error"): "0+4x20"},
        6,
        (({}, "4%"),),
    ),
    Case(
        "RateLimitBackendFailing",
        "is silent over one failure",
        {_limit("acme", "allowed"): "0+100x20", _limit("acme", "error"): "0x5 1x15"},
        12,
    ),
    Case(
        "CacheBackendFailing",
        "fires when cache operations fail",
        {_get("hit"): "0+1x20", _get("miss"): "0+2x20", _get("error"): "0+1x20"},
        6,
        (({}, "25%"),),
    ),
    Case("CacheBackendFailing", "is silent over misses", {_get("miss"): "0+9x20", _get("error"): "0x20"}, 20),
    Case(
        "TelemetryLabelOverflow",
        "fires when a full label is first seen",
        {_FULL: "_x5 3x30"},
        6,
        (({"metric": "rate_limit_hits_total", "label": "workspace_id"}, "3"),),
    ),
    Case(
        "TelemetryLabelOverflow",
        "fires when one that was full before takes more",
        {_FULL: "3x40 4+1x30"},
        42,
        (({"metric": "rate_limit_hits_total", "label": "workspace_id"}, "2"),),
    ),
    Case("TelemetryLabelOverflow", "is silent when nothing was added for long", {_FULL: "3x60"}, 40),
    Case(
        "ExporterQueueFilling",
        "fires when nine tenths are taken",
        {_SIZE: "0x5 900x20", _CAPACITY: "1000x25"},
        11,
        (({"job": "collector", "instance": "otel:8888", "exporter": "otlp_grpc/jaeger", "data_type": "traces"}, "90%"),),
    ),
    Case("ExporterQueueFilling", "is silent when half is taken", {_SIZE: "500x25", _CAPACITY: "1000x25"}, 20),
    *MODEL_CASES,
)
