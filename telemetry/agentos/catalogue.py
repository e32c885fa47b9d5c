"""The catalogue: every metric of AgentOS once, as data.

Names, label keys, bounds and help texts are a contract with everyone who queries them. Instruments, Views, dashboard
queries, rules and ``docs/metrics.md`` are derived from here and from nowhere else. A new metric is one row; its name here
is the one that ``agents.observability`` exports, but for ``A2A_REQUESTS``.
"""

from __future__ import annotations

from telemetry.metric import (
    Catalogue,
    Metric,
    closed_label,
    counter,
    histogram,
    info,
    open_label,
    telemetry_metrics,
    up_down_counter,
)

AGENT = open_label("agent", "name of the agent, from the settings", limit=50, pattern=r"[A-Za-z0-9_.-]{1,64}")
OPERATION = open_label("operation", "skill on the agent's card", limit=50, pattern=r"[A-Za-z0-9_.:-]{1,64}")
STATUS = closed_label("status", "how it ended", "success", "error")
ERROR_TYPE = closed_label("error_type", "why it failed", "timeout", "unreachable", "protocol", "agent", "cancelled", "internal")
CACHE_OPERATION = closed_label("operation", "cache command", "get", "set", "delete")
CACHE_RESULT = closed_label("result", "what the cache answered", "hit", "miss", "ok", "error")
ENDPOINT = open_label("endpoint", "route template", limit=50, pattern=r"/[A-Za-z0-9_./{}:-]{0,127}|unknown")
WORKSPACE = open_label("workspace_id", "workspace of the request", limit=1000, pattern=r"[A-Za-z0-9_.-]{1,64}")
DECISION = closed_label("result", "what the limiter decided", "allowed", "denied", "error")
PROVIDER = open_label("provider", "model provider, from the settings", limit=20, pattern=r"[A-Za-z0-9_.-]{1,64}")
TASK_TYPE = open_label("task_type", "kind of model task, from the settings", limit=20, pattern=r"[A-Za-z0-9_.-]{1,64}")
DIRECTION = closed_label(
    "direction", "which way the tokens went", "input", "output", "unknown", late=("unknown",), on_span=False
)

VERSION = open_label("version", "version of the service", limit=1)
SERVICE_NAME = open_label("service_name", "name of the service", limit=1)
ENVIRONMENT = open_label("environment", "deployment environment", limit=1)

_GATEWAY = "agents/gateway/dashboard_gateway.py"
_CACHE = "agents/services/cache.py"
_LIMITER = "agents/middleware/rate_limit.py"
_USAGE = "agents/services/ccr_usage.py"

AGENTOS_INFO = info(
    "agentos.info", "AgentOS service information", VERSION, SERVICE_NAME, ENVIRONMENT, recorded_in="agents/main.py"
)

A2A_REQUEST_DURATION = histogram(
    "a2a.request.duration",
    "s",
    "A2A request duration in seconds",
    AGENT,
    OPERATION,
    STATUS,
    bounds=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    recorded_in=_GATEWAY,
)
A2A_REQUESTS = counter("a2a.requests", "{request}", "Total A2A requests", AGENT, OPERATION, STATUS, recorded_in=_GATEWAY)
A2A_ERRORS = counter(
    "a2a.errors", "{error}", "A2A requests that failed, by reason", AGENT, OPERATION, ERROR_TYPE, recorded_in=_GATEWAY
)
A2A_ACTIVE_TASKS = up_down_counter("a2a.active_tasks", "{task}", "Currently active A2A tasks", AGENT, recorded_in=_GATEWAY)
A2A_RESPONSE_SIZE = histogram(
    "a2a.response.size",
    "By",
    "A2A response size in bytes",
    AGENT,
    bounds=(100, 500, 1000, 5000, 10000, 50000, 100000),
    recorded_in=_GATEWAY,
)

CACHE_OPERATIONS = counter(
    "cache.operations", "{operation}", "Cache operations", CACHE_OPERATION, CACHE_RESULT, recorded_in=_CACHE
)
CACHE_LATENCY = histogram(
    "cache.latency",
    "s",
    "Cache operation latency",
    CACHE_OPERATION,
    bounds=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1),
    recorded_in=_CACHE,
)

RATE_LIMIT_HITS = counter(
    "rate_limit.hits", "{hit}", "Rate limit enforcement events", ENDPOINT, WORKSPACE, DECISION, recorded_in=_LIMITER
)

CCR_REQUESTS = counter("ccr.requests", "{request}", "CCR routing requests", PROVIDER, TASK_TYPE, STATUS, recorded_in=_USAGE)
CCR_LATENCY = histogram(
    "ccr.latency", "s", "CCR routing latency", PROVIDER, bounds=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5), recorded_in=_USAGE
)
CCR_TOKENS = counter("ccr.tokens", "{token}", "CCR tokens used", PROVIDER, DIRECTION, recorded_in=_USAGE)

AGENTOS = Catalogue([*(row for row in list(globals().values()) if isinstance(row, Metric)), *telemetry_metrics.TELEMETRY])
"""The rows above in their order, and the library's counts of its own failures."""
