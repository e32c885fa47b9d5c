"""The settings: one frozen object, validated when it is made, usually from ``AGENTOS_*`` environment variables.

Variables of OpenTelemetry (``OTEL_*``) are not read here; they keep their own meaning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from agents.settings import access, values
from agents.settings.prices import Prices
from agents.settings.values import ProviderSettings, SettingsError
from telemetry.exposition import Token
from telemetry.exposition.access import Network

__all__ = ["ProviderSettings", "Settings", "SettingsError"]


def _setting(variable: str, default: Any, read: Callable[[Any], Any], *, secret: bool = False) -> Any:
    """A field with its variable and the function that checks and normalises what is given, text or value."""
    metadata = {"variable": variable, "read": read, "secret": secret}
    if callable(default):
        return field(default_factory=default, repr=not secret, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Raises ``SettingsError``, one sentence with name, value and what is allowed."""

    agents: Mapping[str, str] = _setting("AGENTOS_AGENTS", dict, values.urls)
    """Agent name -> base URL of its A2A server. Empty: the built-in agents navi and herald."""
    agent_timeout: float = _setting("AGENTOS_AGENT_TIMEOUT", 30.0, values.seconds)
    """Seconds an agent has from the send to its last event, and the reader of a stream for each event."""
    agent_response_limit: int = _setting("AGENTOS_AGENT_RESPONSE_LIMIT", 8 * 2**20, values.count)
    """Bytes an agent's answer may have after content decoding."""
    request_limit: int = _setting("AGENTOS_REQUEST_LIMIT", 2**20, values.count)
    """Bytes a request's body may have."""
    rate_limit: str = _setting("AGENTOS_RATE_LIMIT", "60/minute", values.rate)
    """Requests of one workspace to one route; ``off`` for no limit."""
    client_rate_limit: str = _setting("AGENTOS_CLIENT_RATE_LIMIT", "600/minute", values.rate)
    """Requests of one client address to all limited routes; ``off`` for no limit."""
    rate_limit_on_error: str = _setting("AGENTOS_RATE_LIMIT_ON_ERROR", "allow", values.one_of("allow", "deny"))
    """What happens to a request while the limiter's Redis is away."""
    redis_url: str = _setting("AGENTOS_REDIS_URL", "", values.redis_url, secret=True)
    """Where limits and cache are shared; empty: memory of the process."""
    redis_timeout: float = _setting("AGENTOS_REDIS_TIMEOUT", 0.016, values.seconds)
    """Seconds Redis has for one use. A request has three at the most: the decision, and the get and set of an answer."""
    cache_ttl: float = _setting("AGENTOS_CACHE_TTL", 300.0, values.seconds)
    """Seconds an answer stays in the cache."""
    cache_size: int = _setting("AGENTOS_CACHE_SIZE", 10_000, values.count)
    """Answers the cache in memory keeps."""
    providers: Mapping[str, ProviderSettings] = _setting(
        "AGENTOS_PROVIDERS", lambda: {"builtin": ProviderSettings()}, values.providers
    )
    """Provider name -> its settings, in the order of preference."""
    routes: Mapping[str, tuple[str, ...]] = _setting("AGENTOS_ROUTES", dict, values.routes)
    """Task type -> names of its providers in order; a task type that is not named uses all of them."""
    call_timeout: float = _setting("AGENTOS_CALL_TIMEOUT", 60.0, values.seconds)
    """Seconds a model request has in all: turns, attempts and the waits between them."""
    retries: int = _setting("AGENTOS_RETRIES", 0, values.count_or_none)
    """How often a provider is asked again before the next one is."""
    retry_wait: float = _setting("AGENTOS_RETRY_WAIT", 0.5, values.seconds)
    """Seconds before the first repetition; doubled for each further one."""
    retry_longest_wait: float = _setting("AGENTOS_RETRY_LONGEST_WAIT", 10.0, values.seconds)
    """Seconds that are waited at most. A provider that asks for more is left for the next one."""
    breaker_failures: int = _setting("AGENTOS_BREAKER_FAILURES", 5, values.count_or_none)
    """Failures in a row after which a provider is not asked for a while; 0: it always is."""
    breaker_pause: float = _setting("AGENTOS_BREAKER_PAUSE", 30.0, values.seconds)
    """Seconds for which it is not asked."""
    prices: Prices = _setting("AGENTOS_PRICES", Prices, values.prices)  # noqa: RUF009 - it is a dataclass field
    """File with the prices of models (see ``services/prices.py``); empty: no cost is counted."""
    model_metrics: bool = _setting("AGENTOS_MODEL_METRICS", False, values.switch)
    """Whether the second part of the catalogue is recorded: retries, fall-backs, first tokens, cost, A2A task states."""
    genai_metrics: str = _setting("AGENTOS_GENAI_METRICS", "auto", values.one_of("auto", "off", "otlp", "all"))
    """OpenTelemetry's GenAI metrics: off, pushed over OTLP, or shown on /metrics as well. ``auto``: pushed where
    ``OTEL_SEMCONV_STABILITY_OPT_IN`` asks for the latest ones, else off."""
    http_metrics: bool = _setting("AGENTOS_HTTP_METRICS", False, values.switch)
    """Whether the HTTP server's own metrics are recorded beside ours."""
    trace_content: bool = _setting("AGENTOS_TRACE_CONTENT", False, values.switch)
    """Whether model spans carry the text of prompt and answer."""
    environment: str = _setting("AGENTOS_ENVIRONMENT", "production", values.identifier)
    """The deployment environment that ``agentos_info`` names. In ``development`` and ``test`` a wrong label raises."""
    label_limits: Mapping[str, int] = _setting("AGENTOS_LABEL_LIMITS", dict, values.label_limits)
    """Label key -> how many values that no setting names keep series of their own; later ones become ``other``."""
    max_series: int = _setting("AGENTOS_MAX_SERIES", 500_000, values.count)
    """Series that one metric may come to by its labels' limits; more stop the start."""
    telemetry_metrics: bool = _setting("AGENTOS_TELEMETRY_METRICS", False, values.switch)
    """Whether the telemetry describes itself on /metrics: series a metric, last scrape's time and size."""
    metrics_tokens: tuple[Token, ...] = _setting("AGENTOS_METRICS_TOKENS", (), access.tokens, secret=True)
    """Who brings one of these as ``Authorization: Bearer`` may read /metrics. No token and no file: anybody."""
    metrics_token_file: str = _setting("AGENTOS_METRICS_TOKEN_FILE", "", access.token_file, secret=True)
    """A file of further tokens, one a line, read again when it changes."""
    metrics_networks: tuple[Network, ...] = _setting("AGENTOS_METRICS_NETWORKS", (), access.networks)
    """From where /metrics may be read; empty: from everywhere."""
    metrics_proxies: tuple[Network, ...] = _setting("AGENTOS_METRICS_PROXIES", (), access.networks)
    """Whose ``X-Forwarded-For`` is believed when the networks are checked."""
    metrics_listen: str = _setting("AGENTOS_METRICS_LISTEN", "", access.listen)
    """``host:port`` or ``unix:/path``: an address or Unix socket for /metrics alone; the public port then has none."""
    workers: str = _setting("AGENTOS_WORKERS", "auto", values.one_of("auto", "on", "off"))
    """Whether /metrics shows the totals of all workers; ``auto``: where a server started this process as one of several."""
    state_directory: str = _setting("AGENTOS_STATE_DIRECTORY", "", str)
    """Private directory (mode 0700) in which workers keep their states; empty: one below the temporary directory."""
    header_limit: int = _setting("AGENTOS_HEADER_LIMIT", 2**15, values.count)
    """Bytes that a request's headers may have together."""
    shutdown_timeout: float = _setting("AGENTOS_SHUTDOWN_TIMEOUT", 10.0, values.seconds)
    """Seconds that runs under way have to end when the service stops, and then the telemetry to be handed over."""

    def __post_init__(self) -> None:
        for one in fields(self):
            given = getattr(self, one.name)
            try:
                object.__setattr__(self, one.name, one.metadata["read"](given))
            except ValueError as error:
                shown = "not usable" if one.metadata["secret"] else repr(given)
                raise SettingsError(f"{one.metadata['variable']} is {shown}: {error}.") from None
        for task_type, names in self.routes.items():
            for name in names:
                if name not in self.providers:
                    known = ", ".join(self.providers)
                    raise SettingsError(
                        f"AGENTOS_ROUTES sends {task_type!r} to {name!r}: the providers of AGENTOS_PROVIDERS are {known}."
                    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """The settings of these variables; one that is empty or missing has its default."""
        given: dict[str, Any] = {one.name: environ.get(one.metadata["variable"], "") for one in fields(cls)}
        return cls(**{name: text for name, text in given.items() if text})
