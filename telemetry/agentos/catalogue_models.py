"""The catalogue's second part: what operators of model calls and agents ask for beside the contract. Switched on by setting.

Task states, error counts and the first event are named as in Kong's ``kong.gen_ai.a2a.*`` metrics and in OpenTelemetry's A2A
proposal; ``docs/models.md`` says which.
"""

from __future__ import annotations

from dataclasses import replace

from telemetry.agentos.catalogue import AGENT, AGENTOS, OPERATION, PROVIDER, STATUS, TASK_TYPE
from telemetry.metric import (
    Catalogue,
    Metric,
    MultiprocessMode,
    closed_label,
    counter,
    histogram,
    observable_counter,
    observable_gauge,
    open_label,
)
from telemetry.metric import up_down_counter as up_down

REASON = closed_label(
    "reason",
    "why a model call failed",
    "rate_limit",
    "timeout",
    "unreachable",
    "server",
    "client",
    "protocol",
    "cancelled",
    "internal",
)
SKIPPED = closed_label("reason", "why a provider was not asked", "breaker_open", "queue")
FALLBACK_REASON = closed_label("reason", "why the first one did not answer", *REASON.values, *SKIPPED.values)
FROM = replace(PROVIDER, key="from_provider", description="provider that did not answer")
TO = replace(PROVIDER, key="to_provider", description="provider asked instead")
MODEL = open_label("model", "model asked for, from the settings", limit=20, pattern=r"[^\x00-\x1f\x7f]{1,128}")
TOKEN_KIND = closed_label(
    "kind", "kind of tokens; together they are all tokens", "input", "cached", "cache_write", "output", "reasoning", "unknown"
)
TOKEN_DIRECTION = closed_label("direction", "which way the tokens went", "input", "output", on_span=False)
QUOTA_RESOURCE = closed_label("resource", "what the provider limits", "requests", "tokens", on_span=False)
UNPRICED = closed_label("reason", "what is missing for the cost", "model", "usage")
BREAKER_STATE = closed_label("state", "state that the breaker took", "closed", "half_open", "open")
BREAKER_LEVELS = {state: level for level, state in enumerate(BREAKER_STATE.values)}
"""The value of the breaker's gauge in each of its states."""

_A2A_STATES = "SUBMITTED WORKING COMPLETED FAILED CANCELED INPUT_REQUIRED REJECTED AUTH_REQUIRED UNSPECIFIED"
TASK_STATE = closed_label(
    "a2a.task.state",
    "state of the task, as A2A spells it",
    *(f"TASK_STATE_{state}" for state in _A2A_STATES.split()),
    on_span=False,
)
PROTOCOL_CODES = (*("-32700", "-32600", "-32601", "-32602", "-32603"), *(f"-3200{n}" for n in range(1, 10)))
"""The codes that JSON-RPC and A2A define; an agent may answer with others. https://www.jsonrpc.org/specification#error_object"""
ERROR_CODE = open_label("rpc.response.status_code", "JSON-RPC error code", limit=30, pattern=r"-?[0-9]{1,9}")

_ROUTER = "agents/services/ccr_router.py"
_USAGE = "agents/services/ccr_usage.py"
_QUOTA = "telemetry/agentos/quota.py"
_GATEWAY = "agents/gateway/dashboard_gateway.py"

ROUTED_ATTEMPTS = histogram(
    "ccr.attempts",
    "{attempt}",
    "Model calls that one answer took",
    TASK_TYPE,
    STATUS,
    bounds=(0, 1, 2, 3, 4, 5, 8),
    recorded_in=_ROUTER,
)
CALL_ERRORS = counter("ccr.errors", "{error}", "Model calls that failed, by reason", PROVIDER, REASON, recorded_in=_USAGE)
RETRIES = counter(
    "ccr.retries",
    "{retry}",
    "Model calls repeated at the same provider, by why the one before failed",
    PROVIDER,
    REASON,
    recorded_in=_ROUTER,
)
FALLBACKS = counter(
    "ccr.fallbacks", "{fallback}", "Turns from one provider to the next", FROM, TO, FALLBACK_REASON, recorded_in=_ROUTER
)
SKIPS = counter("ccr.skips", "{skip}", "Times a provider was not asked", PROVIDER, SKIPPED, recorded_in=_ROUTER)
FIRST_TOKEN = histogram(
    "ccr.time_to_first_token",
    "s",
    "Time from the send to the first text of a stream",
    PROVIDER,
    bounds=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    recorded_in=_USAGE,
)
MODEL_TOKENS = counter(
    "ccr.model.tokens",
    "{token}",
    "Tokens by kind, each token once: input without cached and cache_write, output without reasoning",
    PROVIDER,
    MODEL,
    TOKEN_KIND,
    recorded_in=_USAGE,
)
COST = observable_counter("ccr.cost", "USD", "Cost by the operator's prices", PROVIDER, MODEL, recorded_in=_USAGE)
UNPRICED_CALLS = counter(
    "ccr.unpriced",
    "{call}",
    "Model calls whose cost is not, or not fully, known",
    PROVIDER,
    MODEL,
    UNPRICED,
    recorded_in=_USAGE,
)
BREAKER = observable_gauge(
    "ccr.breaker.state",
    "{state}",
    "Circuit breaker: 0 closed, 1 half-open, 2 open",
    PROVIDER,
    multiprocess_mode=MultiprocessMode.MAX,
    recorded_in=_ROUTER,
)
BREAKER_CHANGES = counter(
    "ccr.breaker.changes",
    "{change}",
    "Changes of a circuit breaker, by its new state",
    PROVIDER,
    BREAKER_STATE,
    recorded_in=_ROUTER,
)
QUEUED = up_down("ccr.queued", "{request}", "Model calls that wait for their turn", PROVIDER, recorded_in=_ROUTER)
IN_FLIGHT = up_down("ccr.in_flight", "{request}", "Model calls under way", PROVIDER, recorded_in=_USAGE)

QUOTA_LIMIT = observable_gauge(
    "ccr.quota.limit",
    "{unit}",
    "Requests or tokens that the provider allows in its period, as it last said",
    PROVIDER,
    QUOTA_RESOURCE,
    multiprocess_mode=MultiprocessMode.MIN,
    recorded_in=_QUOTA,
)
QUOTA_REMAINING = observable_gauge(
    "ccr.quota.remaining",
    "{unit}",
    "Requests or tokens that the provider still allows in its period, by its last answer",
    PROVIDER,
    QUOTA_RESOURCE,
    multiprocess_mode=MultiprocessMode.MIN,
    recorded_in=_QUOTA,
)
INTER_TOKEN_LATENCY = histogram(
    "ccr.inter_token_latency",
    "s",
    "Mean time between two tokens of a stream after its first one",
    PROVIDER,
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
    recorded_in=_USAGE,
)
OUTPUT_RATE = histogram(
    "ccr.output_tokens_per_second",
    "{token}/s",
    "Output tokens per second of a stream, from its first text to its end",
    PROVIDER,
    bounds=(1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000),
    recorded_in=_USAGE,
)
ESTIMATED_TOKENS = counter(
    "ccr.estimated_tokens",
    "{token}",
    "Tokens of calls that their caller cancelled before the provider reported them, estimated",
    PROVIDER,
    MODEL,
    TOKEN_DIRECTION,
    recorded_in=_USAGE,
)

TASK_STATES = counter(
    "a2a.task.state.count", "{state}", "Task states reached, each once a call", AGENT, TASK_STATE, recorded_in=_GATEWAY
)
A2A_CODES = counter(
    "a2a.request.error.count", "{error}", "Errors that agents answered with, by code", AGENT, ERROR_CODE, recorded_in=_GATEWAY
)
FIRST_EVENT = histogram(
    "a2a.client.response.time_to_first_event",
    "s",
    "Time from the send to the first event of a stream",
    AGENT,
    OPERATION,
    bounds=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    recorded_in=_GATEWAY,
)
REQUEST_SIZE = histogram(
    "a2a.request.size",
    "By",
    "A2A request size in bytes",
    AGENT,
    bounds=(100, 500, 1000, 5000, 10000, 50000, 100000),
    recorded_in=_GATEWAY,
)

ROWS = tuple(row for row in list(globals().values()) if isinstance(row, Metric))
"""The rows above, in their order."""

MODELS = Catalogue([*AGENTOS, *ROWS])
"""The contract's rows and those of this part."""
