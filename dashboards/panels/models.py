"""The second dashboard: panels of the model calls as the router sees them, and of A2A calls beyond the contract."""

from __future__ import annotations

from functools import partial

from dashboards.config import FIRST_TOKEN as FIRST_TOKEN_OBJECTIVE
from dashboards.config import MODELS_UID, SPENDING
from dashboards.panels import links
from dashboards.panels.board import Board, Panel, Row
from dashboards.panels.theme import (
    DOLLARS,
    DOLLARS_AN_HOUR,
    EVENTS,
    GREEN,
    MINUTE_RATES,
    ORANGE,
    PERCENT,
    RATES,
    RED,
    SECONDS,
    TASKS,
    TIMES,
    levels,
    number,
    over_time,
)
from dashboards.panels.timeseries import NOW, STEP, distribution, end, narrowed, per_minute
from dashboards.panels.variables import MODELS_QUERY as QUERY
from dashboards.panels.variables import model_variables
from dashboards.promql import Not, ratio
from telemetry.agentos.catalogue import CCR_REQUESTS
from telemetry.agentos.catalogue_models import (
    A2A_CODES,
    BREAKER,
    BREAKER_CHANGES,
    BREAKER_LEVELS,
    CALL_ERRORS,
    COST,
    FALLBACKS,
    FIRST_EVENT,
    FIRST_TOKEN,
    IN_FLIGHT,
    MODEL_TOKENS,
    QUEUED,
    REQUEST_SIZE,
    RETRIES,
    ROUTED_ATTEMPTS,
    SKIPS,
    TASK_STATES,
    UNPRICED_CALLS,
)
from telemetry.metric import Metric

__all__ = ["MODELS"]

_per_minute = partial(per_minute, QUERY)
_distribution = partial(distribution, QUERY)


def _now() -> list[Panel]:
    """Numbers as of now that show whether anything is wrong."""
    answered = partial(QUERY.rate, ROUTED_ATTEMPTS, NOW)
    failed = QUERY.rate(CALL_ERRORS, NOW, reason=Not("cancelled"))
    return [
        number(ratio(answered(status="error"), answered()), PERCENT, orange=0.005, red=0.05)
        .title("Unanswered Requests")
        .no_value("no requests")
        .description(
            "Share of the model requests of the last 5 minutes that got no whole answer from any provider. Readers who left "
            "count here. No variable narrows it: a request belongs to no provider."
        ),
        number(ratio(failed, QUERY.rate(CCR_REQUESTS, NOW)), PERCENT, orange=0.1, red=0.25)
        .title("Failed Attempts")
        .no_value("no calls")
        .description(
            "Share of the calls of model providers of the last 5 minutes that failed, repetitions included, readers who left "
            "not. High, while requests are answered: fall-backs do their work."
        ),
        number(QUERY.quantile(0.95, FIRST_TOKEN, NOW), SECONDS, red=FIRST_TOKEN_OBJECTIVE.under)
        .title("First Token p95")
        .no_value("no streams")
        .description(
            "95 of 100 streams of the last 5 minutes had their first text sooner. Red: over the objective "
            f"({FIRST_TOKEN_OBJECTIVE.under:g} s).{end(FIRST_TOKEN)}."
        ),
        *_levels_now(),
        number(QUERY.increase(COST, "1h"), DOLLARS, orange=SPENDING.hourly, red=SPENDING.hourly * SPENDING.rate)
        .title("Cost (1h)")
        .description(
            "What the model calls of the last hour cost, by your price file. Orange: more than an hour's part of the budget. "
            f"Red: {SPENDING.rate:g} times that. Unpriced calls are missing from it."
        ),
    ]


def _levels_now() -> list[Panel]:
    return [
        number(QUERY.count_at(BREAKER, BREAKER_LEVELS["open"]), EVENTS, red=1)
        .title("Open Breakers")
        .description(
            "Circuit breakers that are open, one for each provider and instance: that instance does not ask that provider. "
            "One that nobody tries stays open."
        ),
        number(QUERY.level(QUEUED), EVENTS, orange=1)
        .title("Waiting Calls")
        .description("Model calls that wait for their turn now, because max_in_flight calls of their provider are under way."),
    ]


def _attempts() -> list[Panel]:
    """How often providers are asked for one answer, and why."""
    turns = {"{{from_provider}} to {{to_provider}}": f"60 * {QUERY.rate(FALLBACKS, STEP, 'from_provider', 'to_provider')}"}
    return [
        over_time({"{{task_type}}": QUERY.mean(ROUTED_ATTEMPTS, STEP, "task_type")}, TIMES)
        .title("Attempts per Request")
        .description(
            "How often a provider was asked for one request, on average. 1: the first one answers. Less than 1: requests end "
            "without any being asked, for all are skipped."
        )
        .data_links([links.traces_of("task_type")]),
        _per_minute(CALL_ERRORS, "reason")
        .title("Errors by Reason")
        .description(
            "Failed calls of providers per minute. client: our request or key is refused. cancelled: the reader left. "
            "protocol: the answer made no sense."
        )
        .data_links([links.traces_of("reason")]),
        _per_minute(RETRIES, "provider")
        .title("Retries by Provider")
        .description("Calls repeated at the same provider, per minute. Retries make a provider that is overloaded worse."),
        over_time(turns, MINUTE_RATES[FALLBACKS.unit])
        .title("Fall-backs")
        .description(
            "Turns from one provider to the next per minute: the first failed or was skipped. Users wait longer, and the "
            "second may cost more. Provider narrows those that did not answer."
        ),
    ]


def _health() -> list[Panel]:
    """The state of the providers."""
    breakers = {
        "closed": (BREAKER_LEVELS["closed"], GREEN),
        "half-open": (BREAKER_LEVELS["half_open"], ORANGE),
        "open": (BREAKER_LEVELS["open"], RED),
    }
    return [
        _distribution(FIRST_TOKEN, "provider", "Time from the send to the first text of a stream.").title(
            "Time to First Token"
        ),
        _level(IN_FLIGHT)
        .title("Calls in Flight")
        .description("Model calls under way. A flat top at max_in_flight: others wait."),
        _level(QUEUED)
        .title("Calls Waiting")
        .description("Model calls that wait for their turn at a provider. It should fall back to 0."),
        levels({"{{provider}}": QUERY.level(BREAKER, "provider")}, breakers)
        .title("Breaker State")
        .description(
            "open: the provider is not asked, after failures in a row. half-open: one call tries it. Of several instances the "
            "worst is shown."
        )
        .data_links(narrowed(QUERY, "provider")),
        _per_minute(BREAKER_CHANGES, "provider", state="open")
        .title("Breaker Openings")
        .description("How often a breaker opened, per minute. Again and again: the calls that try the provider fail."),
        _per_minute(SKIPS, "provider")
        .title("Skipped Calls")
        .description(
            "Times a provider was not asked, per minute: its breaker is open (Breaker State), or no turn came in time "
            "(Calls Waiting)."
        ),
    ]


def _cost() -> list[Panel]:
    """Tokens and their cost."""
    by_model = {"{{model}} {{provider}}": QUERY.rate(MODEL_TOKENS, STEP, "provider", "model")}
    spent = {"{{model}} {{provider}}": f"3600 * {QUERY.rate(COST, STEP, 'provider', 'model')}"}
    by_kind = {"{{kind}}": QUERY.rate(MODEL_TOKENS, STEP, "kind")}
    return [
        over_time(by_kind, RATES[MODEL_TOKENS.unit], fixed=MODEL_TOKENS.label("kind").values, stacked=True)
        .title("Tokens by Kind")
        .description(
            "Tokens per second, each once: input without what came from the provider's cache or was written to it, "
            "output without reasoning. Unknown: a total whose split was not told."
        ),
        over_time(by_model, RATES[MODEL_TOKENS.unit], stacked=True)
        .title("Tokens by Model")
        .description("Tokens per second of all kinds, by the model that was asked for.")
        .data_links([*narrowed(QUERY, "model"), *narrowed(QUERY, "provider")]),
        over_time(spent, DOLLARS_AN_HOUR, stacked=True)
        .title("Cost by Model")
        .description(
            f"US dollars an hour by your price file. The budget of {SPENDING.usd:g} USD a month is {SPENDING.hourly:.2f} USD "
            "an hour (dashboards/config.py). Unpriced calls are missing from it."
        )
        .data_links([*narrowed(QUERY, "model"), *narrowed(QUERY, "provider")]),
        _per_minute(UNPRICED_CALLS, "model", "reason")
        .title("Unpriced Calls")
        .description(
            "Calls per minute whose cost is not, or not fully, known. model: the price file does not name it. usage: the "
            "provider did not tell the tokens, or the reader left before it did."
        ),
    ]


def _a2a() -> list[Panel]:
    """Details of A2A calls beyond the contract."""
    return [
        _per_minute(TASK_STATES, "a2a.task.state")
        .title("Task States")
        .description("States that tasks reached, per minute; each state counts once a call."),
        _per_minute(A2A_CODES, "rpc.response.status_code")
        .title("A2A Error Codes")
        .description(
            "JSON-RPC errors that agents answered with, per minute. -32601: unknown method, -32603: the agent failed inside, "
            "-32001: no such task, -32700: our request could not be read."
        )
        .data_links([links.traces_of("rpc.response.status_code")]),
        _distribution(FIRST_EVENT, "agent", "Time from the send to the first event of a stream.").title("Time to First Event"),
        _distribution(REQUEST_SIZE, "agent", "Size of the requests to agents.").title("Request Size"),
    ]


def _level(metric: Metric) -> Panel:
    panel = over_time({"{{provider}}": QUERY.level(metric, "provider")}, TASKS, stacked=True)
    return panel.data_links([*narrowed(QUERY, "provider"), links.traces_of("provider")])


MODELS = Board(
    title="AgentOS models",
    uid=MODELS_UID,
    description="Model calls of AgentOS as their router sees them, and what A2A calls tell beside the contract; "
    "there are no data unless AGENTOS_MODEL_METRICS is on",
    variables=model_variables,
    rows=(
        Row("Model Calls Now", _now, 8, 4),
        Row("Attempts", _attempts, 12, 9),
        Row("Provider Health", _health, 8, 8),
        Row("Tokens & Cost", _cost, 12, 9),
        Row("A2A Details", _a2a, 12, 9),
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
