"""When each alert of the model calls must fire, and when not."""

from __future__ import annotations

from dashboards.alerting.rule_case import Case, series
from dashboards.config import SPENDING
from telemetry.agentos.catalogue import CCR_REQUESTS
from telemetry.agentos.catalogue_models import (
    BREAKER,
    COST,
    FALLBACKS,
    FIRST_TOKEN,
    QUEUED,
    RETRIES,
    ROUTED_ATTEMPTS,
    UNPRICED_CALLS,
)

__all__ = ["MODEL_CASES"]

_BREAKER = series(BREAKER, provider="main")
_TURNS = series(FALLBACKS, from_provider="main", to_provider="backup", reason="server")
_SKIPPING = series(FALLBACKS, from_provider="main", to_provider="backup", reason="breaker_open")
_REQUESTS = series(ROUTED_ATTEMPTS, "count", task_type="question", status="success")
_RETRIES = series(RETRIES, provider="main", reason="rate_limit")
_CALLS = series(CCR_REQUESTS, provider="main", task_type="question", status="success")
_FAILS = series(CCR_REQUESTS, provider="main", task_type="question", status="error")
_STREAMS = series(FIRST_TOKEN, "count", provider="main")
_FAST = series(FIRST_TOKEN, "bucket", le="5.0", provider="main")
_QUEUED = series(QUEUED, provider="main")
_SPENT = series(COST, provider="main", model="m")
_OTHER_SPENT = series(COST, provider="backup", model="n")
_UNKNOWN = series(UNPRICED_CALLS, provider="main", model="m", reason="model")


def _spent(times: float) -> str:
    """Spending so many times too fast, minute by minute, for long."""
    return f"0+{times * SPENDING.hourly / 60:.8f}x120"


MODEL_CASES = (
    Case("CCRBreakerOpen", "fires when it stays open", {_BREAKER: "0x5 2x20"}, 16, (({"provider": "main"}, "2"),)),
    Case(
        "CCRBreakerOpen",
        "fires when it closes now and then, but not for long",
        {_BREAKER: "0x5 2 0x3 1 0x3 1 0x3 1 0x3 1 0x9"},
        16,
        (({"provider": "main"}, "1"),),
    ),
    Case("CCRBreakerOpen", "is silent when it was open for four minutes", {_BREAKER: "0x5 2x3 0x30"}, 16),
    Case(
        "CCRFallingBack",
        "fires when a third of the requests go on, for whatever reason",
        {_REQUESTS: "0+12x20", _TURNS: "0+3x20", _SKIPPING: "0+1x20"},
        7,
        (({"from_provider": "main"}, "0.33"),),
    ),
    Case("CCRFallingBack", "is silent when a tenth does", {_REQUESTS: "0+30x20", _TURNS: "0+3x20"}, 20),
    Case("CCRFallingBack", "is silent over four fall-backs in all", {_REQUESTS: "0+1x9 9x20", _TURNS: "0 1 2 3 4x20"}, 12),
    Case(
        "CCRRetrying",
        "fires when a third of the calls are repetitions",
        {_CALLS: "0+4x20", _FAILS: "0+2x20", _RETRIES: "0+2x20"},
        8,
        (({"provider": "main"}, "33.33%"),),
    ),
    Case("CCRRetrying", "is silent when a fifth are", {_CALLS: "0+4x20", _FAILS: "0+1x20", _RETRIES: "0+1x20"}, 20),
    Case("CCRRetrying", "is silent over four repetitions in all", {_FAILS: "0+1x4 4x20", _RETRIES: "0+1x4 4x20"}, 12),
    Case(
        "CCRFirstTokenSlow",
        "fires when a quarter of the streams start late",
        {_STREAMS: "0+4x20", _FAST: "0+3x20"},
        7,
        (({"provider": "main"}, "25%"),),
    ),
    Case("CCRFirstTokenSlow", "is silent when one in twenty does", {_STREAMS: "0+20x20", _FAST: "0+19x20"}, 20),
    Case("CCRFirstTokenSlow", "is silent without streams", {_STREAMS: "9x20", _FAST: "0x20"}, 20),
    Case("CCRFirstTokenSlow", "is silent over four streams in all", {_STREAMS: "0+1x4 4x20", _FAST: "0x24"}, 12),
    Case(
        "CCRQueueBuilding",
        "fires when calls have waited all the time",
        {_QUEUED: "0x5 3x5 7x20"},
        20,
        (({"provider": "main"}, "3"),),
    ),
    Case("CCRQueueBuilding", "is silent when the queue empties now and then", {_QUEUED: "0x5 3x7 0 3x7 0 3x7 0 3x7"}, 30),
    Case(
        "CCRCostBudgetBurn",
        "fires when half an hour cost what six hours may",
        {_SPENT: _spent(9), _OTHER_SPENT: _spent(3)},
        36,
        (({}, "7.2"),),
    ),
    Case("CCRCostBudgetBurn", "is silent at five times", {_SPENT: _spent(5)}, 100),
    Case(
        "CCRCostBudgetBurn",
        "is silent when it is over for ten minutes",
        {_SPENT: f"{_spent(9).removesuffix('x120')}x60 {60 * 9 * SPENDING.hourly / 60:.8f}x40"},
        75,
    ),
    Case(
        "CCRCallsUnpriced",
        "fires when the price of a model is missing, and others have theirs",
        {_UNKNOWN: "0+1x90", _OTHER_SPENT: "0.5x90"},
        21,
        (({"provider": "main", "model": "m", "reason": "model"}, "21"),),
    ),
    Case("CCRCallsUnpriced", "is silent over five calls", {_UNKNOWN: "0+1x5 5x60", _OTHER_SPENT: "0.5x70"}, 30),
    Case("CCRCallsUnpriced", "is silent where nobody gave prices", {_UNKNOWN: "0+1x90", _OTHER_SPENT: "0x90"}, 60),
)
