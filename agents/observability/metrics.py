"""The stable import surface for the metrics of AgentOS: names re-exported, no logic.

The metrics follow the process's telemetry: recorded before an app starts, they are kept when it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from telemetry.agentos import catalogue
from telemetry.agentos.default import REGISTRY, MetricProxy, current
from telemetry.tracing.timer import RequestTimer

if TYPE_CHECKING:
    from telemetry.instruments.instrument import Counter, Histogram, UpDownCounter
    from telemetry.instruments.observable import Info

__all__ = [
    "A2A_ACTIVE_TASKS",
    "A2A_REQUEST_COUNT",
    "A2A_REQUEST_DURATION",
    "A2A_RESPONSE_SIZE",
    "AGENTOS_INFO",
    "CACHE_LATENCY",
    "CACHE_OPERATIONS",
    "CCR_LATENCY",
    "CCR_REQUESTS",
    "CCR_TOKENS",
    "RATE_LIMIT_HITS",
    "REGISTRY",
    "RequestTimer",
    "get_content_type",
    "get_metrics",
    "record_a2a_request",
    "record_cache_operation",
    "record_ccr_request",
    "record_rate_limit_hit",
]

AGENTOS_INFO = cast("Info", MetricProxy(catalogue.AGENTOS_INFO))
A2A_REQUEST_DURATION = cast("Histogram", MetricProxy(catalogue.A2A_REQUEST_DURATION))
A2A_REQUEST_COUNT = cast("Counter", MetricProxy(catalogue.A2A_REQUESTS))
A2A_ACTIVE_TASKS = cast("UpDownCounter", MetricProxy(catalogue.A2A_ACTIVE_TASKS))
A2A_RESPONSE_SIZE = cast("Histogram", MetricProxy(catalogue.A2A_RESPONSE_SIZE))
CACHE_OPERATIONS = cast("Counter", MetricProxy(catalogue.CACHE_OPERATIONS))
CACHE_LATENCY = cast("Histogram", MetricProxy(catalogue.CACHE_LATENCY))
RATE_LIMIT_HITS = cast("Counter", MetricProxy(catalogue.RATE_LIMIT_HITS))
CCR_REQUESTS = cast("Counter", MetricProxy(catalogue.CCR_REQUESTS))
CCR_LATENCY = cast("Histogram", MetricProxy(catalogue.CCR_LATENCY))
CCR_TOKENS = cast("Counter", MetricProxy(catalogue.CCR_TOKENS))


def record_a2a_request(
    agent: str,
    operation: str,
    status: str,
    duration_seconds: float,
    response_size_bytes: float | None = None,
    *,
    error_type: str | None = None,
) -> None:
    """See ``telemetry.agentos.recorder.Recorder.record_a2a_request``."""
    current().recorder.record_a2a_request(
        agent, operation, status, duration_seconds, response_size_bytes, error_type=error_type
    )


def record_cache_operation(operation: str, result: str, duration_seconds: float | None = None) -> None:
    """See ``telemetry.agentos.recorder.Recorder.record_cache_operation``."""
    current().recorder.record_cache_operation(operation, result, duration_seconds)


def record_rate_limit_hit(endpoint: str, result: str, workspace_id: str = "unknown") -> None:
    """See ``telemetry.agentos.recorder.Recorder.record_rate_limit_hit``."""
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
    """See ``telemetry.agentos.recorder.Recorder.record_ccr_request``."""
    current().recorder.record_ccr_request(
        provider, task_type, status, duration_seconds, input_tokens, output_tokens, total_tokens
    )


def get_metrics() -> bytes:
    """All metrics in the Prometheus text format 0.0.4."""
    return current().reader.expose().body


def get_content_type() -> str:
    """The content type of ``get_metrics()``."""
    return current().reader.content_type()
