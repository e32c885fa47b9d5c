"""The first dashboard: its panels row by row, each with its query and a description for the person on call."""

from __future__ import annotations

from functools import partial

from dashboards.config import AVAILABILITY, BURNS, LATENCY, UID
from dashboards.panels import links
from dashboards.panels.board import Board, Panel, Row
from dashboards.panels.theme import EVENTS, PERCENT, RATES, SECONDS, TASKS, number, over_time, round_gauge
from dashboards.panels.timeseries import NOW, STEP, distribution, end, events, rate
from dashboards.panels.variables import QUERY, variables
from dashboards.promql import ratio
from telemetry.agentos.catalogue import (
    A2A_ACTIVE_TASKS,
    A2A_ERRORS,
    A2A_REQUEST_DURATION,
    A2A_REQUESTS,
    CACHE_LATENCY,
    CACHE_OPERATIONS,
    CCR_LATENCY,
    CCR_REQUESTS,
    CCR_TOKENS,
    RATE_LIMIT_HITS,
)

__all__ = ["AGENTOS"]

_rate = partial(rate, QUERY)
_latency = partial(distribution, QUERY)


def _overview() -> list[Panel]:
    """Numbers as of now that show whether anything is wrong."""
    return [*_a2a_now(), *_others_now()]


def _a2a_now() -> list[Panel]:
    errors = ratio(QUERY.rate(A2A_REQUESTS, NOW, status="error"), QUERY.rate(A2A_REQUESTS, NOW))
    budget, page = AVAILABILITY.budget, AVAILABILITY.budget * BURNS[0].rate
    return [
        number(QUERY.increase(A2A_REQUESTS, NOW), EVENTS)
        .title("A2A Requests (5m)")
        .description("A2A calls that ended in the last 5 minutes, well or badly. Prometheus extrapolates: close, not exact."),
        number(QUERY.quantile(0.95, A2A_REQUEST_DURATION, NOW), SECONDS, red=LATENCY.under)
        .title("A2A p95 Latency")
        .no_value("no calls")
        .description(
            "95 of 100 A2A calls of the last 5 minutes were faster than this. Red: the latency objective "
            f"({LATENCY.under:g} s) is missed.{end(A2A_REQUEST_DURATION)}."
        ),
        number(errors, PERCENT, orange=budget, red=page)
        .title("A2A Error Rate")
        .no_value("no calls")
        .description(
            "Share of the A2A calls of the last 5 minutes that failed. Callers who left count here, but not in the "
            f"availability objective. Orange: over the {budget:.1%} that may fail. Red: over {page:.1%}, which pages."
        ),
        number(QUERY.level(A2A_ACTIVE_TASKS), EVENTS)
        .title("Active Tasks")
        .description("A2A calls running now. If it stays up while no call ends, they are stuck."),
    ]


def _others_now() -> list[Panel]:
    return [
        number(QUERY.increase(CCR_TOKENS, "1h"), EVENTS)
        .title("CCR Tokens (1h)")
        .description("Tokens that model calls used in the last hour: input, output and of unknown direction."),
        number(QUERY.increase(RATE_LIMIT_HITS, NOW, result="denied"), EVENTS, orange=1)
        .title("Rate Limit Denials")
        .description("Requests refused with 429 in the last 5 minutes."),
    ]


def _a2a() -> list[Panel]:
    """Calls to agents."""
    percentiles = {f"p{100 * q:g}": QUERY.quantile(q, A2A_REQUEST_DURATION, STEP) for q in (0.5, 0.95, 0.99)}
    return [
        _rate(A2A_REQUESTS, "agent").title("Request Rate by Agent").description("A2A calls that ended, per second."),
        over_time(percentiles, SECONDS, fixed=percentiles, exemplars=True)
        .title("Request Duration Percentiles (p50, p95, p99)")
        .description(
            f"How long A2A calls take, failed ones included. The objective: p95 under {LATENCY.under:g} s. "
            "A point is one call: click it to see its trace. A gap: no calls."
        ),
        over_time({"{{agent}}": QUERY.level(A2A_ACTIVE_TASKS, "agent")}, TASKS, stacked=True)
        .title("Active Tasks by Agent")
        .description("A2A calls running now. A level that stays while its agent's rate is zero: its calls are stuck.")
        .data_links([links.only("agent"), links.traces_of("agent")]),
        _rate(A2A_REQUESTS, "status")
        .title("Success vs Error Rate")
        .description(
            f"A2A calls per second by how they ended. Why they failed: {A2A_ERRORS.prometheus_name} by "
            f"{A2A_ERRORS.label('error_type').key}."
        ),
    ]


def _ccr() -> list[Panel]:
    """Calls to model providers."""
    tokens = events(QUERY, CCR_TOKENS, "direction", "provider")
    return [
        _rate(CCR_REQUESTS, "provider")
        .title("Request Rate by Provider")
        .description("Model calls per second; each retry and each fall-back is a call."),
        over_time(tokens, RATES[CCR_TOKENS.unit])
        .title("Token Usage by Provider")
        .description("Tokens per second, as the providers report them. Unknown: a total whose split was not told.")
        .data_links([links.only("provider")]),
        _latency(CCR_LATENCY, "provider", "How long model calls take.").title("Request Latency by Provider"),
        _rate(CCR_REQUESTS, "task_type")
        .title("Requests by Task Type")
        .description("Model calls per second by the kind of task."),
    ]


def _limits_and_cache() -> list[Panel]:
    """The rate limiter's decisions, and the cache."""
    lookups = events(QUERY, CACHE_OPERATIONS, "result", operation="get", result=("hit", "miss", "error"))
    hits, answers = (QUERY.rate(CACHE_OPERATIONS, NOW, operation="get", result=which) for which in ("hit", ("hit", "miss")))
    return [
        _rate(RATE_LIMIT_HITS, "result")
        .title("Rate Limit Decisions")
        .description("Decisions per second. Error: the limiter's backend failed and the request was let through."),
        over_time(lookups, RATES[CACHE_OPERATIONS.unit], fixed=CACHE_OPERATIONS.label("result").values)
        .title("Cache Hit/Miss Rate")
        .description("Cache look-ups per second. Error: the cache's backend failed; the service goes on without it."),
        round_gauge(ratio(hits, answers), PERCENT, green=0.5)
        .title("Cache Hit Ratio")
        .no_value("no look-ups")
        .description("Share of the cache look-ups of the last 5 minutes that found something, without failed ones."),
        _latency(CACHE_LATENCY, "operation", "How long the cache takes.").title("Cache Latency by Operation"),
    ]


AGENTOS = Board(
    title="AgentOS",
    uid=UID,
    description="A2A calls, model calls, rate limits and cache of AgentOS",
    variables=variables,
    rows=(
        Row("Overview", _overview, 8, 4),
        Row("A2A Request Metrics", _a2a, 12, 9),
        Row("CCR Provider Metrics", _ccr, 12, 9),
        Row("Rate Limiting & Cache", _limits_and_cache, 12, 9),
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
