"""The alerts of the model calls, each with its test cases: providers that are skipped, slow or full, and the cost.

All are tickets: what users notice of it pages by the objectives of the A2A calls.
"""

from __future__ import annotations

from dashboards.alerting.alert import Alert, Case, series
from dashboards.alerting.observed import Form, Stretch, in_each_form, observed
from dashboards.alerting.slo import QUERY
from dashboards.config import FIRST_TOKEN as OBJECTIVE
from dashboards.config import QUOTA_LOW, SLO_DAYS, SPENDING
from telemetry.agentos.catalogue import CCR_REQUESTS
from telemetry.agentos.catalogue_models import (
    BREAKER,
    BREAKER_LEVELS,
    COST,
    FALLBACKS,
    FIRST_TOKEN,
    QUEUED,
    QUOTA_LIMIT,
    QUOTA_REMAINING,
    RETRIES,
    ROUTED_ATTEMPTS,
    UNPRICED_CALLS,
)

__all__ = ["MODEL_ALERTS"]

_BY = ("job", "provider")
_QUOTA = (*_BY, "resource")
_UNPRICED = QUERY.increase(UNPRICED_CALLS, "1h", *_BY, "model", "reason")

_BREAKER = series(BREAKER, provider="main")
_TURNS = series(FALLBACKS, from_provider="main", to_provider="backup", reason="server")
_SKIPPING = series(FALLBACKS, from_provider="main", to_provider="backup", reason="breaker_open")
_RETRIES = series(RETRIES, provider="main", reason="rate_limit")
_CALLS = series(CCR_REQUESTS, provider="main", task_type="question", status="success")
_FAILS = series(CCR_REQUESTS, provider="main", task_type="question", status="error")
_QUEUED = series(QUEUED, provider="main")
_SPENT = series(COST, provider="main", model="m")
_OTHER_SPENT = series(COST, provider="backup", model="n")
_TOKENS = {"provider": "main", "resource": "tokens"}
_ALLOWED, _ALLOWED_STILL = series(QUOTA_LIMIT, **_TOKENS), series(QUOTA_REMAINING, **_TOKENS)
_UNKNOWN = series(UNPRICED_CALLS, provider="main", model="m", reason="model")


def _requests(form: Form, *stretches: Stretch) -> dict[str, str]:
    """Requests, answered at the first attempt or only after more than two."""
    return observed(form, ROUTED_ATTEMPTS, 2, *stretches, task_type="question", status="success")


def _streams(form: Form, *stretches: Stretch, start: tuple[int, int] = (0, 0)) -> dict[str, str]:
    """Streams whose first text came within the objective, and later."""
    return observed(form, FIRST_TOKEN, OBJECTIVE.under, *stretches, start=start, provider="main")


def _spent(times: float) -> str:
    """Spending so many times too fast for 120 minutes."""
    return f"0+{times * SPENDING.hourly / 60:.8f}x120"


def _overspending(window: str) -> str:
    """How many times too fast the money is spent over a window, where that is too fast."""
    return f"3600 * {QUERY.rate(COST, window, 'job')} / {SPENDING.hourly:g} > {SPENDING.rate:g}"


MODEL_ALERTS = (
    Alert(
        "CCRBreakerOpen",
        severity="ticket",
        wait="10m",
        expr=f"{QUERY.highest(BREAKER, '5m', *_BY)} > {BREAKER_LEVELS['closed']}",
        summary="Model provider {{ $labels.provider }} is not asked: its circuit breaker opens",
        description=(
            "For 10 minutes the breaker of {{ $labels.provider }} has not stayed closed for 5 minutes on end, on one instance "
            f"or more; at its worst it was at {{{{ $value }}}} ({BREAKER_LEVELS['half_open']}: half-open, "
            f"{BREAKER_LEVELS['open']}: open)."
        ),
        panel="Breaker State",
        narrow=("provider",),
        cases=(
            Case("fires when it stays open", {_BREAKER: "0x5 2x20"}, 16, {"provider": "main"}, "2"),
            Case(
                "fires when it closes now and then, but not for long",
                {_BREAKER: "0x5 2 0x3 1 0x3 1 0x3 1 0x3 1 0x9"},
                16,
                {"provider": "main"},
                "1",
            ),
            Case("is silent when it was open for four minutes", {_BREAKER: "0x5 2x3 0x30"}, 16),
        ),
    ),
    Alert(
        "CCRFallingBack",
        severity="ticket",
        wait="5m",
        expr=f"{QUERY.increase(FALLBACKS, '10m', 'job', 'from_provider')}\n/ on (job) group_left ()\n"
        f"{QUERY.observations(ROUTED_ATTEMPTS, '10m', 'job')}\n> 0.2\n"
        f"and\n{QUERY.increase(FALLBACKS, '10m', 'job', 'from_provider')} > 5",
        summary="Model requests go on from {{ $labels.from_provider }} to the next provider",
        description=(
            '{{ $value | printf "%.2f" }} fall-backs a request in the last 10 minutes: {{ $labels.from_provider }} failed or '
            "was skipped, and another provider was asked."
        ),
        panel="Fall-backs",
        cases=(
            *in_each_form(
                "fires when a third of the requests go on, for whatever reason",
                lambda form: {**_requests(form, (8, 4, 8)), _TURNS: "0+3x20", _SKIPPING: "0+1x20"},
                7,
                {"from_provider": "main"},
                "0.33",
            ),
            *in_each_form("is silent when a tenth does", lambda form: {**_requests(form, (20, 10, 20)), _TURNS: "0+3x20"}, 20),
            Case(
                "is silent over four fall-backs in all",
                {**_requests(Form.CLASSIC, (1, 0, 9), (0, 0, 20)), _TURNS: "0 1 2 3 4x20"},
                12,
            ),
        ),
    ),
    Alert(
        "CCRRetrying",
        severity="ticket",
        wait="5m",
        expr=f"{QUERY.rate(RETRIES, '10m', *_BY)}\n/\n{QUERY.rate(CCR_REQUESTS, '10m', *_BY)}\n> 0.25\n"
        f"and\n{QUERY.increase(RETRIES, '10m', *_BY)} > 5",
        summary="Calls of model provider {{ $labels.provider }} are repeated much",
        description=(
            "{{ $value | humanizePercentage }} of the calls of {{ $labels.provider }} in the last 10 minutes were repetitions."
        ),
        panel="Retries by Provider",
        narrow=("provider",),
        cases=(
            Case(
                "fires when a third of the calls are repetitions",
                {_CALLS: "0+4x20", _FAILS: "0+2x20", _RETRIES: "0+2x20"},
                8,
                {"provider": "main"},
                "33.33%",
            ),
            Case("is silent when a fifth are", {_CALLS: "0+4x20", _FAILS: "0+1x20", _RETRIES: "0+1x20"}, 20),
            Case("is silent over four repetitions in all", {_FAILS: "0+1x4 4x20", _RETRIES: "0+1x4 4x20"}, 12),
        ),
    ),
    Alert(
        "CCRFirstTokenSlow",
        severity="ticket",
        wait="5m",
        expr=f"1 - (\n{QUERY.share_at_or_below(FIRST_TOKEN, OBJECTIVE.under, '10m', *_BY)}\n) > {OBJECTIVE.budget:g}\n"
        f"and\n{QUERY.observations(FIRST_TOKEN, '10m', *_BY)} > 5",
        summary="Model provider {{ $labels.provider }} is slow to start its answers",
        description=(
            "{{ $value | humanizePercentage }} of the streams of {{ $labels.provider }} in the last 10 minutes took more than "
            f"{OBJECTIVE.under:g} s to their first text; {OBJECTIVE.budget:.0%} may."
        ),
        panel="Time to First Token",
        narrow=("provider",),
        cases=(
            *in_each_form(
                "fires when a quarter of the streams start late",
                lambda form: _streams(form, (3, 1, 8)),
                7,
                {"provider": "main"},
                "25%",
            ),
            *in_each_form("is silent when one in twenty does", lambda form: _streams(form, (19, 1, 20)), 20),
            *in_each_form("is silent without streams", lambda form: _streams(form, (0, 0, 20), start=(0, 9)), 20),
            *in_each_form("is silent over four streams in all", lambda form: _streams(form, (0, 1, 4), (0, 0, 8)), 12),
        ),
    ),
    Alert(
        "CCRQueueBuilding",
        severity="ticket",
        wait="5m",
        expr=f"min_over_time({QUERY.level(QUEUED, *_BY)}[10m:1m]) > 0",
        summary="Calls wait for model provider {{ $labels.provider }}",
        description="{{ $value }} calls or more have been waiting for {{ $labels.provider }} all of the last 10 minutes.",
        panel="Calls Waiting",
        narrow=("provider",),
        cases=(
            Case("fires when calls have waited all the time", {_QUEUED: "0x5 3x5 7x20"}, 20, {"provider": "main"}, "3"),
            Case("is silent when the queue empties now and then", {_QUEUED: "0x5 3x7 0 3x7 0 3x7 0 3x7"}, 30),
        ),
    ),
    Alert(
        "CCRCostBudgetBurn",
        severity="ticket",
        wait="5m",
        expr=f"{_overspending(SPENDING.long)}\nand\n{_overspending(SPENDING.short)}",
        summary="Model calls cost too much",
        description=(
            f"The budget ({SPENDING.usd:g} USD for {SLO_DAYS} days) is spent "
            f'{{{{ $value | printf "%.1f" }}}} times too fast over the last {SPENDING.long}, and too fast over the last '
            f"{SPENDING.short} as well. At {SPENDING.rate:g} times it is gone within {SLO_DAYS / SPENDING.rate:g} days."
        ),
        panel="Cost by Model",
        cases=(
            Case(
                "fires when half an hour cost what six hours may", {_SPENT: _spent(9), _OTHER_SPENT: _spent(3)}, 36, {}, "7.2"
            ),
            Case("is silent at five times", {_SPENT: _spent(5)}, 100),
            Case(
                "is silent when it is over for ten minutes",
                {_SPENT: f"{_spent(9).removesuffix('x120')}x60 {60 * 9 * SPENDING.hourly / 60:.8f}x40"},
                75,
            ),
        ),
    ),
    Alert(
        "CCRCallsUnpriced",
        severity="ticket",
        wait="10m",
        # Where nothing has ever cost anything the operator gave no prices and does not want the cost.
        expr=f"{_UNPRICED} > 10\nand on (job)\n{QUERY.level(COST, 'job')} > 0",
        summary="The cost of {{ $labels.model }} at {{ $labels.provider }} is not known",
        description=(
            'About {{ $value | printf "%.0f" }} calls of the last hour are missing, or partly missing, from the cost. What is '
            "missing: the {{ $labels.reason }} (model: its price; usage: its tokens)."
        ),
        panel="Unpriced Calls",
        narrow=("provider", "model"),
        cases=(
            Case(
                "fires when the price of a model is missing, and others have theirs",
                {_UNKNOWN: "0+1x90", _OTHER_SPENT: "0.5x90"},
                21,
                {"provider": "main", "model": "m", "reason": "model"},
                "21",
            ),
            Case("is silent over five calls", {_UNKNOWN: "0+1x5 5x60", _OTHER_SPENT: "0.5x70"}, 30),
            Case("is silent where nobody gave prices", {_UNKNOWN: "0+1x90", _OTHER_SPENT: "0x90"}, 60),
        ),
    ),
    Alert(
        "CCRQuotaLow",
        severity="ticket",
        wait="2m",
        expr=f"{QUERY.level(QUOTA_REMAINING, *_QUOTA)}\n/\n{QUERY.top(QUOTA_LIMIT, *_QUOTA)}\n< {QUOTA_LOW:g}",
        summary="The quota of model provider {{ $labels.provider }} is nearly used up",
        description=(
            "{{ $value | humanizePercentage }} of the {{ $labels.resource }} that {{ $labels.provider }} allows in its period "
            "are left. At 0 it refuses calls with 429."
        ),
        panel="Quota Remaining",
        narrow=("provider",),
        cases=(
            Case("fires when a twentieth is left", {_ALLOWED: "1000x20", _ALLOWED_STILL: "500x5 50x15"}, 8, _TOKENS, "5%"),
            Case("is silent when a fifth is left", {_ALLOWED: "1000x20", _ALLOWED_STILL: "200x20"}, 15),
            Case("is silent when the period begins anew", {_ALLOWED: "1000x20", _ALLOWED_STILL: "50x1 1000x1 50x1 1000x1"}, 6),
        ),
    ),
)
