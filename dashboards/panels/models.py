"""The second dashboard: panels of the model calls as the router sees them, and of A2A calls beyond the contract."""

from __future__ import annotations

from functools import partial

from dashboards.config import FIRST_TOKEN as FIRST_TOKEN_OBJECTIVE
from dashboards.config import MODELS_UID, SPENDING
from dashboards.money import known_cost
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
from dashboards.panels.timeseries import NOW, STEP, distribution, end, events, narrowed, per_minute
from dashboards.panels.variables import MODELS_QUERY as QUERY
from dashboards.panels.variables import model_variables
from dashboards.promql import Not, only_numbers, ratio
from telemetry.agentos.catalogue import CCR_REQUESTS
from telemetry.agentos.catalogue_models import (
    A2A_CODES,
    BREAKER,
    BREAKER_CHANGES,
    BREAKER_LEVELS,
    CALL_ERRORS,
    COST,
    ESTIMATED_TOKENS,
    FALLBACKS,
    FIRST_EVENT,
    FIRST_TOKEN,
    IN_FLIGHT,
    INTER_TOKEN_LATENCY,
    MODEL_TOKENS,
    OUTPUT_RATE,
    QUEUED,
    QUOTA_LIMIT,
    QUOTA_REMAINING,
    REQUEST_SIZE,
    RETRIES,
    ROUTED_ATTEMPTS,
    SKIPS,
    TASK_STATES,
    UNPRICED_CALLS,
)
from telemetry.metric import Metric

__all__ = ["MODELS"]

_QUOTA = ("provider", "resource")
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
        number(
            known_cost(QUERY, COST, UNPRICED_CALLS, "1h", reason="model"),
            DOLLARS,
            orange=SPENDING.hourly,
            red=SPENDING.hourly * SPENDING.rate,
        )
        .title("Cost (1h)")
        .no_value("no prices")
        .description(
            "What the model calls of the last hour cost, by your price file. Orange: more than an hour's part of the budget. "
            f"Red: {SPENDING.rate:g} times that. Unpriced calls are missing from it; without a price for any call it says so."
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
    legend = "{{from_provider}} to {{to_provider}}"
    turns = events(QUERY, FALLBACKS, "from_provider", "to_provider", times=60, legend=legend)
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
    by_model = events(QUERY, MODEL_TOKENS, "model", "provider")
    return [
        over_time(
            events(QUERY, MODEL_TOKENS, "kind"), RATES[MODEL_TOKENS.unit], fixed=MODEL_TOKENS.label("kind").values, stacked=True
        )
        .title("Tokens by Kind")
        .description(
            "Tokens per second, each once: input without what came from the provider's cache or was written to it, "
            "output without reasoning. Unknown: a total whose split was not told."
        ),
        over_time(by_model, RATES[MODEL_TOKENS.unit], stacked=True)
        .title("Tokens by Model")
        .description("Tokens per second of all kinds, by the model that was asked for.")
        .data_links([*narrowed(QUERY, "model"), *narrowed(QUERY, "provider")]),
        over_time(_spending(), DOLLARS_AN_HOUR, stacked=True)
        .title("Cost by Model")
        .description(
            f"US dollars an hour by your price file. The budget of {SPENDING.usd:g} USD a month is {SPENDING.hourly:.2f} USD "
            "an hour (dashboards/config.py). Unpriced calls are missing from it; no prices: none of the calls has one."
        )
        .data_links([*narrowed(QUERY, "model"), *narrowed(QUERY, "provider")]),
        _per_minute(UNPRICED_CALLS, "model", "reason")
        .title("Unpriced Calls")
        .description(
            "Calls per minute whose cost is not, or not fully, known. model: the price file does not name it. usage: the "
            "provider did not tell the tokens, or the reader left before it did."
        ),
    ]


def _spending() -> dict[str, str]:
    """The lines of the cost. What is 0 because nothing has a price is called so."""
    lines = events(QUERY, COST, "model", "provider", times=3600)
    unpriced = QUERY.moved(UNPRICED_CALLS, reason="model")
    free = f"({QUERY.rate(COST, STEP)}\nor\n0 * {QUERY.rate(UNPRICED_CALLS, STEP, reason='model')})"
    lines["none"] += f"\nunless\n{unpriced}"
    lines["no prices"] = f"({free}\nunless\n{QUERY.moved(COST)})\nand\n{unpriced}"
    return lines


def _streams() -> list[Panel]:
    """How fast streams are, and what is known of those that their caller cancelled."""
    reported = events(QUERY, MODEL_TOKENS, "kind", legend="{{kind}} reported")
    estimated = events(QUERY, ESTIMATED_TOKENS, "direction", legend="{{direction}} estimated")
    return [
        _distribution(INTER_TOKEN_LATENCY, "provider", "Mean time between two tokens of a stream after its first one.").title(
            "Inter-token Latency"
        ),
        _distribution(OUTPUT_RATE, "provider", "Output tokens per second of a stream, from its first text to its end.").title(
            "Tokens per Second"
        ),
        over_time(dict([*list(reported.items())[:1], *estimated.items()]), RATES[MODEL_TOKENS.unit])
        .title("Estimated Tokens")
        .description(
            "Tokens per second of streams that their caller cancelled before the provider told its usage, estimated, beside "
            "the reported ones. Estimated tokens are in no other number and in no cost. none: nothing was estimated."
        ),
    ]


def _quota() -> list[Panel]:
    """What the providers still allow, as they last said."""
    limit, left = QUERY.top(QUOTA_LIMIT, *_QUOTA), QUERY.level(QUOTA_REMAINING, *_QUOTA)
    share = {"{{provider}} {{resource}}": only_numbers(f"{left}\n/\n{limit}")}
    return [
        over_time(share, PERCENT)
        .title("Quota Remaining")
        .description(
            "Part of its limit of requests or tokens that a provider still allows in its period, as its last answers said; of "
            "several instances the lowest. A gap: it has not told for a while. At 0 it refuses calls with 429."
        )
        .data_links(narrowed(QUERY, "provider")),
        over_time({"{{provider}} {{resource}} left": left, "{{provider}} {{resource}} limit": limit}, EVENTS)
        .title("Quota")
        .description("Requests and tokens that the providers allow in their period, and how many of them are left."),
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
    empty="nothing in this time, or AGENTOS_MODEL_METRICS is off",
    rows=(
        Row("Model Calls Now", _now, 8, 4),
        Row("Attempts", _attempts, 12, 9),
        Row("Provider Health", _health, 8, 8),
        Row("Tokens & Cost", _cost, 12, 9),
        Row("A2A Details", _a2a, 12, 9),
        Row("Streams (providers: ${streaming})", _streams, 8, 9, collapsed=True),
        Row("Provider Quota (providers: ${quotas})", _quota, 12, 9, collapsed=True),
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
        "Quota Remaining": "CCRQuotaLow",
        "Quota": "CCRQuotaLow",
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
