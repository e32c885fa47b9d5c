"""The settings: one frozen object, validated when it is made, usually from ``AGENTOS_*`` environment variables.

Variables of OpenTelemetry (``OTEL_*``) are not read here; they keep their own meaning.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from agents.settings import access, values
from agents.settings.budgets import Budgets, GivenBudgets, LedgerPath
from agents.settings.mcp_servers import McpServers
from agents.settings.prices import Prices
from agents.settings.values import ProviderSettings, SettingsError
from telemetry._base.printable import is_encodable, shown

__all__ = ["Settings"]

_PREFIX = "AGENTOS_"


class Settings(BaseSettings):
    """Everything that can be set. A new setting is one field here: type, default and docstring.

    Raises:
        SettingsError: A value cannot be used. The message is one sentence with the variable, its value and what is allowed.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        enable_decoding=False,  # the types parse their JSON, and say what is wrong with it
        hide_input_in_errors=True,
    )

    agents: values.Urls = {}
    """Agent name -> base URL of its A2A server. Empty: the built-in agents navi and herald."""
    agent_timeout: values.Seconds = 30.0
    """Seconds an agent has from the send to its last event, and the reader of a stream for each event."""
    agent_response_limit: values.Count = 8 * 2**20
    """Bytes an agent's answer may have after content decoding."""
    request_limit: values.Count = 2**20
    """Bytes a request's body may have."""
    rate_limit: values.RateLimit = "60/minute"
    """Requests of one workspace to one route; several limits hold together, ``off`` for no limit."""
    client_rate_limit: values.RateLimit = "600/minute"
    """Requests of one client address to all limited routes; several limits hold together, ``off`` for no limit."""
    trusted_proxies: access.TrustedProxies = access.Proxies()
    """Peers whose ``X-Forwarded-For`` names the client that is counted: ``unix`` and networks."""
    api_keys: access.ApiKeys = {}
    """Workspace -> its key or keys, as JSON; a request then needs one. Empty: the API has no authentication."""
    rate_limit_on_error: Literal["allow", "deny"] = "allow"
    """What happens to a request while the limiter's Redis does not answer."""
    redis_url: values.RedisUrl = SecretStr("")
    """Where limits and cache are shared; empty: memory of the process."""
    redis_timeout: values.Seconds = 0.016
    """Seconds Redis has for one use. A request has three at the most: the decision, and the get and set of an answer."""
    cache_ttl: values.Seconds = 300.0
    """Seconds an answer stays in the cache."""
    cache_size: values.Count = 10_000
    """Answers the cache in memory keeps."""
    cache_bytes: values.Count = 64 * 2**20
    """Bytes the cache in memory takes, keys included; the oldest answers make room for new ones."""
    cache_answer_bytes: values.Count = 2**18
    """Bytes of the longest answer that is cached, in memory or in Redis."""
    tasks_size: values.Count = 1000
    """Ended tasks that each built-in agent keeps; tasks under way are kept beside them."""
    tasks_bytes: values.Count = 32 * 2**20
    """Bytes of the ended tasks that each built-in agent keeps."""
    tasks_ttl: values.Seconds = 600.0
    """Seconds a built-in agent keeps an ended task."""
    providers: values.Providers = {"builtin": ProviderSettings()}
    """Provider name -> its settings, in the order of preference."""
    routes: values.Routes = {}
    """Task type -> names of its providers in order; a task type that is not named uses all of them."""
    mcp_servers: McpServers = {}
    """MCP server -> how it is reached; navi's ``research`` uses their tools. Empty: a server inside the process."""
    call_timeout: values.Seconds = 60.0
    """Seconds a model request has in all: turns, attempts and the waits between them."""
    retries: values.CountOrZero = 0
    """How often a provider is asked again before the next one is."""
    retry_wait: values.Seconds = 0.5
    """Seconds before the first repetition; doubled for each further one."""
    retry_longest_wait: values.Seconds = 10.0
    """Longest wait in seconds. When a provider asks for more, the router goes on to the next one."""
    breaker_failures: values.CountOrZero = 5
    """Failures in a row after which a provider's breaker opens; 0: it never does."""
    breaker_pause: values.Seconds = 30.0
    """Seconds for which an open breaker lets no call through."""
    prices: values.PriceList = Prices()
    """File with the prices of models (see ``settings/prices.py``); empty: no cost is counted."""
    model_metrics: values.Switch = False
    """Whether the second part of the catalogue is recorded: retries, fall-backs, first tokens, cost, A2A task states."""
    agent_metrics: values.Switch = False
    """Whether agents, tools, MCP sessions and workspaces are recorded: the fourth and the fifth part of the catalogue."""
    runtime_metrics: values.Switch = False
    """Whether the process is observed: CPU, memory, file descriptors, garbage collection, workers and event loops."""
    budgets: Budgets = GivenBudgets()
    """Workspace -> what it may spend in a period, as JSON, or the path of a file with it that is read again when it changes."""
    ledger: LedgerPath = ""
    """SQLite file with what was spent of the budgets, for all workers; empty: it lasts as long as the run of the workers."""
    genai_metrics: Literal["auto", "off", "otlp", "all"] = "auto"
    """OpenTelemetry's GenAI metrics: off, pushed over OTLP, or shown on /metrics as well. ``auto``: pushed where
    ``OTEL_SEMCONV_STABILITY_OPT_IN`` asks for the latest ones, else off."""
    genai_version: Literal["auto", "1.36.0", "1.41.0", "genai-0.1.0"] = "auto"
    """Version of the GenAI conventions, for metrics and spans. ``auto``: the last one where ``OTEL_SEMCONV_STABILITY_OPT_IN``
    asks for the latest, else 1.36.0."""
    native_histograms: values.Switch = False
    """Whether every histogram keeps native buckets beside the explicit ones, for scrapers that ask for them."""
    http_metrics: values.Switch = False
    """Whether the HTTP server's own metrics are recorded beside ours."""
    trace_content: values.Switch = False
    """Whether model spans carry the text of prompt and answer."""
    trust_traceparent: values.Switch = False
    """Whether a caller's ``traceparent`` decides if its request is sampled, and its ``tracestate`` is kept."""
    environment: values.Identifier = "production"
    """The deployment environment that ``agentos_info`` names. In ``development`` and ``test`` a wrong label raises."""
    label_limits: values.LabelLimits = {}
    """Label key -> how many values that no setting names keep series of their own; later ones become ``other``."""
    max_series: values.Count = 500_000
    """Series that one metric may come to by its labels' limits; more stop the start."""
    telemetry_metrics: values.Switch = False
    """Whether the telemetry describes itself on /metrics: series a metric, last scrape's time and size."""
    metrics_tokens: access.BearerTokens = ()
    """Clients that send one of these as ``Authorization: Bearer`` may read /metrics. No token and no file: all clients."""
    metrics_token_file: access.TokenPath = ""
    """A file of further tokens, one a line, read again when it changes."""
    metrics_networks: access.Networks = ()
    """From where /metrics may be read; empty: from everywhere."""
    metrics_proxies: access.Networks = ()
    """Whose ``X-Forwarded-For`` is believed when the networks are checked."""
    metrics_listen: access.ListenAddress = ""
    """``host:port`` or ``unix:/path``: an address or Unix socket for /metrics alone; the public port then has none."""
    max_concurrent_scrapes: values.Count = 64
    """Scrapes of /metrics that a process answers at once; a further one is a 503."""
    workers: Literal["auto", "on", "off"] = "auto"
    """Whether /metrics shows the totals of all workers; ``auto``: where a server started this process as one of several."""
    state_directory: values.Directory = ""
    """Private directory (mode 0700) in which workers keep their states; empty: one below the temporary directory."""
    header_limit: values.Count = 2**15
    """Bytes that a request's headers may have together."""
    receive_timeout: values.Seconds = 30.0
    """Seconds a connection has to send a request's head, and its body likewise; then it is closed."""
    max_connections: values.CountOrZero = 0
    """Connections at once; beyond it the one that has waited longest for its request is closed. 0: three quarters of the
    descriptors that are left at the start."""
    shutdown_timeout: values.Seconds = 10.0
    """Seconds that runs under way have to end when the service stops, and then the telemetry to be flushed."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as refused:
            raise SettingsError(_sentence(refused, given)) from None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The settings of these variables; one that is empty or missing has its default.

        One that restricts access must not be empty: nothing would be restricted.
        """
        given = {name.lower(): text for name, text in environ.items()}
        for name, field in cls.model_fields.items():
            text = given.get(f"{_PREFIX}{name}".lower())
            if text == "" and values.is_marked(field, values.Guard):
                raise SettingsError(f"{cls.variable(name)} is '': it would restrict nothing, so give a value or unset it.")
            if text and not is_encodable(text):
                raise SettingsError(f"{cls.variable(name)} is not usable: UTF-8 text is needed.")
        source = EnvSettingsSource(cls)
        source.env_vars = {name: text for name, text in given.items() if text}
        return cls(**source())

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The arguments alone: only ``from_environment`` reads the environment, and nothing reads a ``.env`` file."""
        return (init_settings,)

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a field."""
        return f"{_PREFIX}{field.upper()}"

    @model_validator(mode="after")
    def _routes_lead_to_providers(self) -> Self:
        for task_type, names in self.routes.items():
            for name in names:
                if name not in self.providers:
                    known = ", ".join(self.providers)
                    raise ValueError(
                        f"AGENTOS_ROUTES sends {task_type!r} to {shown(name)}: the providers of AGENTOS_PROVIDERS are {known}."
                    )
        return self


def _sentence(refused: ValidationError, given: Mapping[str, Any]) -> str:
    error = refused.errors()[0]
    if not error["loc"]:
        return str(error["ctx"]["error"])
    name = str(error["loc"][0])
    field = Settings.model_fields.get(name)
    if field is None:
        raise TypeError(f"there is no setting {name!r}")
    value = given[name]
    may_be_secret = values.is_marked(field, values.Hidden) or (isinstance(value, str) and "@" in value)
    what = "not usable" if may_be_secret or not field.repr else shown(value)
    literal = error["type"] == "literal_error"
    allowed = f"{' or '.join(get_args(field.annotation))} is needed" if literal else values.reason(field, error)
    note = " (its value is not shown, it may hold a secret)" if may_be_secret and field.repr else ""
    return f"{Settings.variable(name)} is {what}: {allowed}{note}."
