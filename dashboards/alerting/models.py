"""The alerts of the model calls: providers that are skipped, slow or full, and what it costs.

All are tickets. What their users feel of it pages by the objectives of the A2A calls.
"""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.alerting.alert import Alert
from dashboards.alerting.slo import RULES
from dashboards.config import FIRST_TOKEN as OBJECTIVE
from dashboards.config import SLO_DAYS, SPENDING
from dashboards.promql import only_numbers
from telemetry.agentos.catalogue import CCR_REQUESTS
from telemetry.agentos.catalogue_models import (
    BREAKER,
    BREAKER_LEVELS,
    COST,
    FALLBACKS,
    FIRST_TOKEN,
    QUEUED,
    RETRIES,
    ROUTED_ATTEMPTS,
    UNPRICED_CALLS,
)

__all__ = ["MODEL_ALERTS"]


def _providers() -> Iterator[Alert]:
    by = ("job", "provider")
    yield Alert(
        "CCRBreakerOpen",
        "ticket",
        "10m",
        f"{RULES.highest(BREAKER, '5m', *by)} > {BREAKER_LEVELS['closed']}",
        summary="Model provider {{ $labels.provider }} is not asked: its circuit breaker opens",
        description=(
            "For 10 minutes the breaker of {{ $labels.provider }} has not stayed closed for 5 minutes on end, on one instance "
            f"or more; at its worst it was at {{{{ $value }}}} ({BREAKER_LEVELS['half_open']}: half-open, "
            f"{BREAKER_LEVELS['open']}: open)."
        ),
        panel="Breaker State",
        narrow=("provider",),
    )
    turns, requests = (
        RULES.rate(FALLBACKS, "10m", "job", "from_provider"),
        RULES.rate(ROUTED_ATTEMPTS, "10m", "job", part="count"),
    )
    yield Alert(
        "CCRFallingBack",
        "ticket",
        "5m",
        f"{turns}\n/ on (job) group_left ()\n{requests}\n> 0.2\n"
        f"and\n{RULES.increase(FALLBACKS, '10m', 'job', 'from_provider')} > 5",
        summary="Model requests go on from {{ $labels.from_provider }} to the next provider",
        description=(
            '{{ $value | printf "%.2f" }} fall-backs a request in the last 10 minutes: {{ $labels.from_provider }} failed or '
            "was skipped, and another provider was asked."
        ),
        panel="Fall-backs",
    )
    yield Alert(
        "CCRRetrying",
        "ticket",
        "5m",
        f"{RULES.rate(RETRIES, '10m', *by)}\n/\n{RULES.rate(CCR_REQUESTS, '10m', *by)}\n> 0.25\n"
        f"and\n{RULES.increase(RETRIES, '10m', *by)} > 5",
        summary="Calls of model provider {{ $labels.provider }} are repeated much",
        description=(
            "{{ $value | humanizePercentage }} of the calls of {{ $labels.provider }} in the last 10 minutes were repetitions."
        ),
        panel="Retries by Provider",
        narrow=("provider",),
    )


def _waiting() -> Iterator[Alert]:
    by = ("job", "provider")
    fast = RULES.at_or_below(FIRST_TOKEN, OBJECTIVE.under, "10m", *by)
    every = RULES.rate(FIRST_TOKEN, "10m", *by, part="count")
    slow = f"1 - ({only_numbers(f'{fast} / {every}')})"
    yield Alert(
        "CCRFirstTokenSlow",
        "ticket",
        "5m",
        f"{slow} > {OBJECTIVE.budget:g}\nand\n{RULES.increase(FIRST_TOKEN, '10m', *by, part='count')} > 5",
        summary="Model provider {{ $labels.provider }} is slow to start its answers",
        description=(
            "{{ $value | humanizePercentage }} of the streams of {{ $labels.provider }} in the last 10 minutes took more than "
            f"{OBJECTIVE.under:g} s to their first text; {OBJECTIVE.budget:.0%} may."
        ),
        panel="Time to First Token",
        narrow=("provider",),
    )
    yield Alert(
        "CCRQueueBuilding",
        "ticket",
        "5m",
        f"min_over_time({RULES.level(QUEUED, *by)}[10m:1m]) > 0",
        summary="Calls wait for model provider {{ $labels.provider }}",
        description="{{ $value }} calls or more have been waiting for {{ $labels.provider }} all of the last 10 minutes.",
        panel="Calls Waiting",
        narrow=("provider",),
    )


def _cost() -> Iterator[Alert]:
    long, short = (
        f"3600 * {RULES.rate(COST, window, 'job')} / {SPENDING.hourly:g}" for window in (SPENDING.long, SPENDING.short)
    )
    yield Alert(
        "CCRCostBudgetBurn",
        "ticket",
        "5m",
        f"{long} > {SPENDING.rate:g}\nand\n{short} > {SPENDING.rate:g}",
        summary="Model calls cost too much",
        description=(
            f"The budget ({SPENDING.usd:g} USD for {SLO_DAYS} days) is spent "
            f'{{{{ $value | printf "%.1f" }}}} times too fast over the last {SPENDING.long}, and too fast over the last '
            f"{SPENDING.short} as well. At {SPENDING.rate:g} times it is gone within {SLO_DAYS / SPENDING.rate:g} days."
        ),
        panel="Cost by Model",
    )
    by = ("job", "provider", "model", "reason")
    # Where nothing has ever cost anything nobody gave prices, and nobody asks for the cost.
    yield Alert(
        "CCRCallsUnpriced",
        "ticket",
        "10m",
        f"{RULES.increase(UNPRICED_CALLS, '1h', *by)} > 10\nand on (job)\n{RULES.level(COST, 'job')} > 0",
        summary="The cost of {{ $labels.model }} at {{ $labels.provider }} is not known",
        description=(
            'About {{ $value | printf "%.0f" }} calls of the last hour are missing, or partly missing, from the cost. What is '
            "missing: the {{ $labels.reason }} (model: its price; usage: its tokens)."
        ),
        panel="Unpriced Calls",
        narrow=("provider", "model"),
    )


MODEL_ALERTS: tuple[Alert, ...] = (*_providers(), *_waiting(), *_cost())
