"""THE list: every metric of AgentOS once, as data.

Names, label keys, bounds and help texts are a contract with whoever queries them. Instruments, Views, dashboard queries,
rules and ``docs/metrics.md`` are derived from here and from nowhere else.
"""

from __future__ import annotations

from telemetry.metric.definition import (
    Catalogue,
    Together,
    closed,
    counter,
    histogram,
    info,
    observable_counter,
    observable_gauge,
    opened,
    up_down_counter,
)

AGENT = opened("agent", "name of the agent, from the settings", limit=50, pattern=r"[A-Za-z0-9_.-]{1,64}")
OPERATION = opened("operation", "skill on the agent's card", limit=50, pattern=r"[A-Za-z0-9_.:-]{1,64}")
STATUS = closed("status", "how it ended", "success", "error")
ERROR_TYPE = closed("error_type", "why it failed", "timeout", "unreachable", "protocol", "agent", "cancelled", "internal")
CACHE_OPERATION = closed("operation", "cache command", "get", "set", "delete")
CACHE_RESULT = closed("result", "what the cache answered", "hit", "miss", "ok", "error")
ENDPOINT = opened("endpoint", "route template", limit=50, pattern=r"/[A-Za-z0-9_./{}:-]{0,127}|unknown")
WORKSPACE = opened("workspace_id", "workspace of the request", limit=1000, pattern=r"[A-Za-z0-9_.-]{1,64}")
DECISION = closed("result", "what the limiter decided", "allowed", "denied", "error")
PROVIDER = opened("provider", "model provider, from the settings", limit=20, pattern=r"[A-Za-z0-9_.-]{1,64}")
TASK_TYPE = opened("task_type", "kind of model task, from the settings", limit=20, pattern=r"[A-Za-z0-9_.-]{1,64}")
DIRECTION = closed("direction", "which way the tokens went", "input", "output", "unknown", late=("unknown",), on_span=False)

VERSION = opened("version", "version of the service", limit=1)
SERVICE_NAME = opened("service_name", "name of the service", limit=1)
ENVIRONMENT = opened("environment", "deployment environment", limit=1)

METRIC = opened("metric", "metric concerned, by its Prometheus name", limit=200)
LABEL = opened("label", "label key concerned", limit=200)
DROP_REASON = closed("reason", "why it was not recorded", "not_finite", "negative", "failed")
CALLBACK_REASON = closed("reason", "what the callback did", "raised", "hung")
SCRAPE_REASON = closed("reason", "why it was refused", "unauthorized", "forbidden", "method", "timeout", "shutdown", "failed")
STATE_REASON = closed("reason", "what was wrong with it", "torn", "foreign", "stale", "unwritable", "unreadable", "hung")

_GATEWAY = "agents/gateway/dashboard_gateway.py"
_CACHE = "agents/services/cache.py"
_LIMITER = "agents/middleware/rate_limit.py"
_USAGE = "agents/services/ccr_usage.py"
_SELF = "telemetry"

AGENTOS_INFO = info(
    "agentos.info", "AgentOS service information", VERSION, SERVICE_NAME, ENVIRONMENT, recorded="agents/main.py"
)

A2A_REQUEST_DURATION = histogram(
    "a2a.request.duration", "s", "A2A request duration in seconds", AGENT, OPERATION, STATUS,
    bounds=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10), recorded=_GATEWAY,
)  # fmt: skip
A2A_REQUESTS = counter("a2a.requests", "{request}", "Total A2A requests", AGENT, OPERATION, STATUS, recorded=_GATEWAY)
A2A_ERRORS = counter(
    "a2a.errors", "{error}", "A2A requests that failed, by reason", AGENT, OPERATION, ERROR_TYPE, recorded=_GATEWAY
)
A2A_ACTIVE_TASKS = up_down_counter("a2a.active_tasks", "{task}", "Currently active A2A tasks", AGENT, recorded=_GATEWAY)
A2A_RESPONSE_SIZE = histogram(
    "a2a.response.size", "By", "A2A response size in bytes", AGENT,
    bounds=(100, 500, 1000, 5000, 10000, 50000, 100000), recorded=_GATEWAY,
)  # fmt: skip

CACHE_OPERATIONS = counter(
    "cache.operations", "{operation}", "Cache operations", CACHE_OPERATION, CACHE_RESULT, recorded=_CACHE
)
CACHE_LATENCY = histogram(
    "cache.latency", "s", "Cache operation latency", CACHE_OPERATION,
    bounds=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1), recorded=_CACHE,
)  # fmt: skip

RATE_LIMIT_HITS = counter(
    "rate_limit.hits", "{hit}", "Rate limit enforcement events", ENDPOINT, WORKSPACE, DECISION, recorded=_LIMITER
)

CCR_REQUESTS = counter("ccr.requests", "{request}", "CCR routing requests", PROVIDER, TASK_TYPE, STATUS, recorded=_USAGE)
CCR_LATENCY = histogram(
    "ccr.latency", "s", "CCR routing latency", PROVIDER,
    bounds=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5), recorded=_USAGE,
)  # fmt: skip
CCR_TOKENS = counter("ccr.tokens", "{token}", "CCR tokens used", PROVIDER, DIRECTION, recorded=_USAGE)

TELEMETRY_OVERFLOW = observable_counter(
    "agentos.telemetry.overflow", "{measurement}", "Measurements kept under 'other' because a label was full",
    METRIC, LABEL, recorded=_SELF,
)  # fmt: skip
TELEMETRY_INVALID = observable_counter(
    "agentos.telemetry.invalid", "{measurement}", "Measurements kept under 'invalid' because a label was wrong",
    METRIC, LABEL, recorded=_SELF,
)  # fmt: skip
TELEMETRY_DROPPED = observable_counter(
    "agentos.telemetry.dropped", "{measurement}", "Measurements refused or lost", METRIC, DROP_REASON, recorded=_SELF
)
TELEMETRY_CLASHES = observable_counter(
    "agentos.telemetry.clashes", "{metric}", "Metrics left out of a scrape because another has their name",
    METRIC, recorded=_SELF,
)  # fmt: skip
TELEMETRY_CALLBACK_FAILURES = observable_counter(
    "agentos.telemetry.callback_failures", "{call}", "Observable callbacks that raised or hung",
    METRIC, CALLBACK_REASON, recorded=_SELF,
)  # fmt: skip
TELEMETRY_REFUSED_SCRAPES = observable_counter(
    "agentos.telemetry.refused_scrapes", "{scrape}", "Scrapes of /metrics that were refused", SCRAPE_REASON, recorded=_SELF
)
TELEMETRY_STATE_FAILURES = observable_counter(
    "agentos.telemetry.state.failures", "{failure}", "States of workers that could not be written, read or had in time",
    STATE_REASON, recorded=_SELF,
)  # fmt: skip

TELEMETRY = (
    TELEMETRY_OVERFLOW,
    TELEMETRY_INVALID,
    TELEMETRY_DROPPED,
    TELEMETRY_CLASHES,
    TELEMETRY_CALLBACK_FAILURES,
    TELEMETRY_REFUSED_SCRAPES,
    TELEMETRY_STATE_FAILURES,
)
"""What the telemetry says of itself: a catalogue of one's own adds these rows to see it."""

TELEMETRY_SERIES = observable_gauge(
    "agentos.telemetry.series", "{series}", "Series that a metric has now", METRIC, recorded=_SELF
)
TELEMETRY_SCRAPE_DURATION = observable_gauge(
    "agentos.telemetry.scrape.duration", "s", "How long the last scrape took to render", recorded=_SELF,
    together=Together.MAX,
)  # fmt: skip
TELEMETRY_SCRAPE_SIZE = observable_gauge(
    "agentos.telemetry.scrape.size", "By", "Size of the last scrape's body before compression", recorded=_SELF,
    together=Together.MAX,
)  # fmt: skip

DESCRIPTIVE = (TELEMETRY_SERIES, TELEMETRY_SCRAPE_DURATION, TELEMETRY_SCRAPE_SIZE)
"""What describes the telemetry rather than names a trouble: not in ``AGENTOS``, added where the settings ask for it."""

AGENTOS = Catalogue(
    [
        AGENTOS_INFO,
        A2A_REQUEST_DURATION,
        A2A_REQUESTS,
        A2A_ERRORS,
        A2A_ACTIVE_TASKS,
        A2A_RESPONSE_SIZE,
        CACHE_OPERATIONS,
        CACHE_LATENCY,
        RATE_LIMIT_HITS,
        CCR_REQUESTS,
        CCR_LATENCY,
        CCR_TOKENS,
        *TELEMETRY,
    ]
)
