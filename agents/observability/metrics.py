"""The stable import surface for the metrics of AgentOS: names re-exported, no logic.

Each row of ``telemetry.agentos.catalogue`` is an instrument here under the row's own name, but for the counter of A2A requests:
``A2A_REQUEST_COUNT``. The instruments follow the process's telemetry: what is recorded before an app starts is kept when
it does.
"""

from __future__ import annotations

from typing import Any

from telemetry.agentos import catalogue
from telemetry.agentos.default import REGISTRY, MetricProxy, current
from telemetry.metric import Metric
from telemetry.tracing.timer import RequestTimer

_INSTRUMENTS = {
    {"A2A_REQUESTS": "A2A_REQUEST_COUNT"}.get(name, name): MetricProxy(row)
    for name, row in vars(catalogue).items()
    if isinstance(row, Metric)
}

__all__ = [
    *_INSTRUMENTS,
    "REGISTRY",
    "RequestTimer",
    "get_content_type",
    "get_metrics",
    "record_a2a_request",
    "record_cache_operation",
    "record_ccr_request",
    "record_rate_limit_hit",
]


def __getattr__(name: str) -> Any:
    """Returns the instrument of a row of the catalogue."""
    if name in _INSTRUMENTS:
        return _INSTRUMENTS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def record_a2a_request(
    agent: str,
    operation: str,
    status: str,
    duration_seconds: float,
    response_size_bytes: float | None = None,
    *,
    error_type: str | None = None,
) -> None:
    """Calls ``telemetry.agentos.recorder.Recorder.record_a2a_request`` of the process's telemetry."""
    current().recorder.record_a2a_request(
        agent, operation, status, duration_seconds, response_size_bytes, error_type=error_type
    )


def record_cache_operation(operation: str, result: str, duration_seconds: float | None = None) -> None:
    """Calls ``telemetry.agentos.recorder.Recorder.record_cache_operation`` of the process's telemetry."""
    current().recorder.record_cache_operation(operation, result, duration_seconds)


def record_rate_limit_hit(endpoint: str, result: str, workspace_id: str = "unknown") -> None:
    """Calls ``telemetry.agentos.recorder.Recorder.record_rate_limit_hit`` of the process's telemetry."""
    current().recorder.record_rate_limit_hit(endpoint, result, workspace_id)


def record_ccr_request(
    provider: str,
    task_type: str,
    status: str,
    duration_seconds: float | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    total_tokens: int | None = None,
) -> None:
    """Calls ``telemetry.agentos.recorder.Recorder.record_ccr_request`` of the process's telemetry."""
    current().recorder.record_ccr_request(
        provider, task_type, status, duration_seconds, input_tokens, output_tokens, total_tokens
    )


def get_metrics() -> bytes:
    """Returns all metrics in the Prometheus text format 0.0.4."""
    return current().reader.expose().body


def get_content_type() -> str:
    """The content type of ``get_metrics()``."""
    return current().reader.content_type()
