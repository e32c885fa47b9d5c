"""The types of the settings.

Each type parses the text of a variable, or takes a value of its own type. Its error says what is allowed, in the words that an
operator reads: those of the type's ``Allowed``, else those of the ``ValueError`` that its validator raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import limits
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from agents.settings.prices import Prices
from telemetry.agentos.genai import Target

__all__ = ["ProviderSettings", "SettingsError"]

_NAME = r"[A-Za-z0-9_.-]{1,64}"
_NAME_RULE = "letters, digits, '_', '.', '-', at most 64 of them"


class SettingsError(ValueError):
    """A setting that cannot be used; the message is one sentence that names it, its value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rule of a field, in the words of its error."""

    rule: str


def reason(field: FieldInfo, error: ErrorDetails) -> str:
    """Why a field was refused: what its type allows, or what its validator says."""
    rules = [one.rule for one in field.metadata if isinstance(one, Allowed)]
    return rules[0] if rules else str(error.get("ctx", {}).get("error", error["msg"]))


def _digits(value: object) -> object:
    if not (str(value).isascii() and str(value).isdigit()):  # pydantic also takes 1_000, 1.0 and True
        raise ValueError("not digits alone")
    return value


def _rate(value: str) -> str:
    if value != "off" and limits.parse(value).amount < 1:
        raise ValueError("no request at all")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    if value and urlsplit(value.get_secret_value()).scheme not in ("redis", "rediss"):
        raise ValueError("another scheme")
    return value


Seconds = Annotated[
    float, Field(gt=0, allow_inf_nan=False), Allowed("a number of seconds above 0 is needed, such as 30 or 0.5")
]
Count = Annotated[int, BeforeValidator(_digits), Field(gt=0), Allowed("a whole number above 0 is needed")]
CountOrZero = Annotated[int, BeforeValidator(_digits), Field(ge=0), Allowed("a whole number from 0 on is needed")]
Switch = Annotated[bool, Allowed("true or false is needed")]
Identifier = Annotated[str, Field(pattern=f"^{_NAME}$"), Allowed(f"a name of {_NAME_RULE} is needed")]
RateLimit = Annotated[
    str, AfterValidator(_rate), Allowed("a number of requests a period is needed, such as 60/minute or 5/10seconds, or off")
]
RedisUrl = Annotated[
    SecretStr,
    Field(repr=False),
    AfterValidator(_redis_url),
    Allowed("a URL such as redis://host:6379/0 is needed (its value is not shown, it may hold a password)"),
]
_Text = Annotated[str, Allowed("text")]


class ProviderSettings(BaseModel):
    """One model provider. ``latency`` and ``failure_rate`` are the built-in one's, the other fields OpenAI's."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: Annotated[Literal["builtin", "openai"], Allowed("builtin or openai")] = "builtin"
    latency: Annotated[float, Field(ge=0, allow_inf_nan=False), Allowed("a number of seconds from 0 on")] = 0.02
    """Seconds the built-in provider takes for an answer."""
    failure_rate: Annotated[float, Field(ge=0, le=1), Allowed("a number from 0 to 1")] = 0.0
    """Share of the built-in provider's calls that fail, 0 to 1."""
    model: _Text = "builtin-1"
    base_url: _Text = ""
    api_key_env: _Text = "OPENAI_API_KEY"
    """Name of the variable that holds the key; the key itself is no setting."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False), Allowed("a number of seconds above 0")] = 30.0
    """Seconds one attempt may take."""
    stream: Annotated[bool, Allowed("true or false")] = True
    """Whether the answer is asked for piece by piece; off for servers that cannot stream."""
    max_in_flight: Annotated[int, Field(ge=0), Allowed("a whole number from 0 on")] = 0
    """Calls at once; further calls wait for their turn. 0: no limit."""
    response_limit: Annotated[int, Field(gt=0), Allowed("a whole number above 0")] = 8 * 2**20
    """Bytes that an answer may have after content decoding."""

    @model_validator(mode="after")
    def _has_a_url(self) -> Self:
        if self.kind == "openai":
            url(self.base_url)
        return self

    @property
    def vendor(self) -> str:
        """Whose protocol the provider speaks, in the words of OpenTelemetry's GenAI conventions."""
        return "openai" if self.kind == "openai" else "agentos"

    def target(self, name: str, vendor: str | None = None, model: str | None = None) -> Target:
        """What attempts at this provider are aimed at, for their metrics and spans."""
        address = urlsplit(self.base_url)
        port = str(address.port or {"https": 443}.get(address.scheme, 80)) if address.hostname else ""
        serves = self.kind == "builtin"
        who = (name, vendor or self.vendor, model or self.model)
        return Target(*who, address.hostname or "", port, streams=serves or self.stream, serves=serves)


def url(value: object) -> str:
    """An http or https URL of a host, without credentials, query or fragment. Raises ``ValueError``."""
    try:
        parts = urlsplit(value) if isinstance(value, str) and " " not in value else urlsplit("")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("an http or https URL such as http://host:9000 is needed, without user, query and fragment")
    return str(value).rstrip("/")


def _mapping(value: object, rule: str) -> Mapping[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{rule}, and this is no JSON") from None
    if not isinstance(found, Mapping):
        raise ValueError(rule)
    for name in found:
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"{rule}; {name!r} is no name ({_NAME_RULE})")
    return found


def _urls(value: object) -> Mapping[str, str]:
    found = _mapping(value, 'a JSON object of names and URLs is needed, such as {"navi": "http://navi:9000"}')
    return MappingProxyType({name: url(address) for name, address in found.items()})


def _providers(value: object) -> Mapping[str, ProviderSettings]:
    rule = 'a JSON object of names and settings is needed, such as {"fast": {"kind": "builtin", "latency": 0.02}}'
    found = _mapping(value, rule)
    if not found:
        raise ValueError("at least one provider is needed")
    return MappingProxyType({name: _provider(name, one) for name, one in found.items()})


def _provider(name: str, value: object) -> ProviderSettings:
    fields = ProviderSettings.model_fields
    try:
        return ProviderSettings.model_validate(value)
    except ValidationError as refused:
        error = refused.errors()[0]
    if error["type"] == "value_error":  # of the URL
        raise ValueError(str(error["ctx"]["error"]))
    if not error["loc"] or error["loc"][0] not in fields:
        raise ValueError(f"the settings of provider {name!r} are an object with some of {', '.join(fields)}")
    key = str(error["loc"][0])
    raise ValueError(f"the {key} of a provider is {reason(fields[key], error)}, not {error['input']!r}")


def _routes(value: object) -> Mapping[str, tuple[str, ...]]:
    rule = 'a JSON object of task types and provider names is needed, such as {"summary": ["fast", "steady"]}'
    found = _mapping(value, rule)
    for names in found.values():
        if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(rule)
    return MappingProxyType({task_type: tuple(names) for task_type, names in found.items()})


def _label_limits(value: object) -> Mapping[str, int]:
    rule = 'a JSON object of label keys and whole numbers above 0 is needed, such as {"workspace_id": 500}'
    found = _mapping(value, rule)
    if not all(type(limit) is int and limit > 0 for limit in found.values()):
        raise ValueError(rule)
    return MappingProxyType(dict(found))


Urls = Annotated[Mapping[str, str], PlainValidator(_urls)]
Providers = Annotated[Mapping[str, ProviderSettings], PlainValidator(_providers)]
Routes = Annotated[Mapping[str, tuple[str, ...]], PlainValidator(_routes)]
LabelLimits = Annotated[Mapping[str, int], PlainValidator(_label_limits)]
PriceList = Annotated[Prices, PlainValidator(lambda value: value if isinstance(value, Prices) else Prices.read(value))]
