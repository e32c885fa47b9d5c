"""The two dashboards as outlines. ``panels.py`` and ``model_panels.py`` have what each panel asks."""

from __future__ import annotations

from dashboards.config import MODELS_UID, UID
from dashboards.panels import agentos as panels
from dashboards.panels import models as model_panels
from dashboards.panels.board import Board, Row
from dashboards.panels.variables import model_variables, variables

__all__ = ["AGENTOS", "MODELS", "PLACES"]

AGENTOS = Board(
    title="AgentOS",
    uid=UID,
    description="A2A calls, model calls, rate limits and cache of AgentOS",
    variables=variables,
    rows=(
        Row("Overview", panels.overview, 8, 4),
        Row("A2A Request Metrics", panels.a2a, 12, 9),
        Row("CCR Provider Metrics", panels.ccr, 12, 9),
        Row("Rate Limiting & Cache", panels.limits_and_cache, 12, 9),
    ),
    runbooks={
        "A2A Requests (5m)": "A2ANoTraffic",
        "A2A p95 Latency": "A2ALatencyBudgetBurn",
        "A2A Error Rate": "A2AErrorBudgetBurn",
        "Active Tasks": "A2ATasksStuck",
        "Rate Limit Denials": "RateLimitWorkspaceDenied",
        "Request Rate by Agent": "A2ANoTraffic",
        "Request Duration Percentiles (p50, p95, p99)": "A2ALatencyBudgetBurn",
        "Active Tasks by Agent": "A2ATasksStuck",
        "Success vs Error Rate": "A2AErrorBudgetBurn",
        "Request Rate by Provider": "CCRProviderFailing",
        "Request Latency by Provider": "CCRProviderFailing",
        "Rate Limit Decisions": "RateLimitBackendFailing",
        "Cache Hit/Miss Rate": "CacheBackendFailing",
        "Cache Latency by Operation": "CacheBackendFailing",
    },
    details={
        "A2A Requests (5m)": "Request Rate by Agent",
        "A2A p95 Latency": "Request Duration Percentiles (p50, p95, p99)",
        "A2A Error Rate": "Success vs Error Rate",
        "Active Tasks": "Active Tasks by Agent",
        "CCR Tokens (1h)": "Token Usage by Provider",
        "Rate Limit Denials": "Rate Limit Decisions",
        "Cache Hit Ratio": "Cache Hit/Miss Rate",
    },
)

MODELS = Board(
    title="AgentOS models",
    uid=MODELS_UID,
    description="Model calls of AgentOS as their router sees them, and what A2A calls tell beside the contract; "
    "there are no data unless AGENTOS_MODEL_METRICS is on",
    variables=model_variables,
    rows=(
        Row("Model Calls Now", model_panels.now, 8, 4),
        Row("Attempts", model_panels.attempts, 12, 9),
        Row("Provider Health", model_panels.health, 8, 8),
        Row("Tokens & Cost", model_panels.cost, 12, 9),
        Row("A2A Details", model_panels.a2a, 12, 9),
    ),
    runbooks={
        "Unanswered Requests": "A2AErrorBudgetBurn",
        "Failed Attempts": "CCRProviderFailing",
        "First Token p95": "CCRFirstTokenSlow",
        "Open Breakers": "CCRBreakerOpen",
        "Waiting Calls": "CCRQueueBuilding",
        "Cost (1h)": "CCRCostBudgetBurn",
        "Errors by Reason": "CCRProviderFailing",
        "Retries by Provider": "CCRRetrying",
        "Fall-backs": "CCRFallingBack",
        "Time to First Token": "CCRFirstTokenSlow",
        "Breaker State": "CCRBreakerOpen",
        "Breaker Openings": "CCRBreakerOpen",
        "Calls Waiting": "CCRQueueBuilding",
        "Cost by Model": "CCRCostBudgetBurn",
        "Unpriced Calls": "CCRCallsUnpriced",
    },
    details={
        "Unanswered Requests": "Attempts per Request",
        "Failed Attempts": "Errors by Reason",
        "First Token p95": "Time to First Token",
        "Open Breakers": "Breaker State",
        "Waiting Calls": "Calls Waiting",
        "Cost (1h)": "Cost by Model",
    },
)

PLACES: dict[str, tuple[str, int]] = {
    title: (board.uid, number) for board in (AGENTOS, MODELS) for title, number in board.panel_ids().items()
}
"""Dashboard and id of each panel by its title; alerts lead there."""
