"""The types of the settings.

Each type parses the text of a variable, or takes a value of its own type. Its error says what is allowed, in the words that an
operator reads: those of the type's ``Allowed``, else those of the ``ValueError`` that its validator raises.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

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
from agents.settings.reading import LARGEST, read_text
from telemetry._base.json_text import parse_json
from telemetry._base.printable import is_text, printable, shown
from telemetry.agentos.genai import Target

__all__ = ["ProviderSettings", "SettingsError"]

_NAME = r"[A-Za-z0-9_.-]{1,64}"
_NAME_RULE = "letters, digits, '_', '.', '-', at most 64 of them"


class SettingsError(ValueError):
    """A setting that cannot be used; the message is one sentence that names it, its value and what is allowed.

    It is one line of at most 1,000 characters.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence, 1000))


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rule of a field, in the words of its error."""

    rule: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """Marks a field whose value is not shown in errors: it may hold a secret, if only by mistake."""


HIDDEN = Hidden()


@dataclass(frozen=True, slots=True)
class Guard:
    """Marks a field that restricts access: a variable that is set and empty is refused, since it would lift the restriction."""


GUARD = Guard()


def is_marked(field: FieldInfo, marker: type[Hidden | Guard]) -> bool:
    """Returns whether the field's type has this mark."""
    return any(isinstance(one, marker) for one in field.metadata)


def reason(field: FieldInfo, error: ErrorDetails) -> str:
    """Why a field was refused: what its type allows, or what its validator says."""
    bounds = error.get("ctx", {})
    if error["type"] == "less_than_equal":
        return f"at most {bounds['le']} is allowed"
    if isinstance(bounds.get("error"), TooShort):
        return str(bounds["error"])
    rules = [one.rule for one in field.metadata if isinstance(one, Allowed)]
    return rules[0] if rules else str(error.get("ctx", {}).get("error", error["msg"]))


def _digits(value: object) -> object:
    if not (str(value).isascii() and str(value).isdigit()):  # pydantic also takes 1_000, 1.0 and True
        raise ValueError("not digits alone")
    return value


class TooShort(ValueError):
    """A time that a timer or a store would round to nothing."""


def _not_too_short(value: float) -> float:
    if value < _SHORTEST:
        raise TooShort(f"at least {_SHORTEST} is needed")
    return value


def _rate(value: str) -> str:
    if value != "off":
        several = limits.parse_many(value if is_text(value) else "")
        usable = all(1 <= limit.amount <= LARGEST and 1 <= limit.get_expiry() <= LONGEST for limit in several)
        if not usable or len(several) > _MOST_LIMITS:
            raise ValueError("no request at all, more than a store counts, or too many limits to ask for each request")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    if not value:
        return value
    check_redis_url(value.get_secret_value())
    parts = urlsplit(value.get_secret_value())
    port = "" if parts.port else f"{'' if parts.netloc.endswith(':') else ':'}6379"  # the limiter's client knows no default
    return SecretStr(parts._replace(netloc=f"{parts.netloc}{port}").geturl())


_MOST_LIMITS = 10
_SHORTEST = 0.001
"""Shortest time of a setting in seconds: Redis keeps milliseconds."""
LONGEST = 1_000_000_000
"""Longest time of a setting in seconds, 31 years: timers of threads and stores fail on much longer ones."""
Seconds = Annotated[
    float,
    Field(gt=0, le=LONGEST, allow_inf_nan=False),
    AfterValidator(_not_too_short),
    Allowed("a number of seconds above 0 is needed, such as 30 or 0.5"),
]
Count = Annotated[int, BeforeValidator(_digits), Field(gt=0, le=LARGEST), Allowed("a whole number above 0 is needed")]
CountOrZero = Annotated[int, BeforeValidator(_digits), Field(ge=0, le=LARGEST), Allowed("a whole number from 0 on is needed")]
Switch = Annotated[bool, Allowed("true or false is needed")]
Identifier = Annotated[str, Field(pattern=f"^{_NAME}$"), Allowed(f"a name of {_NAME_RULE} is needed")]
RateLimit = Annotated[
    str,
    AfterValidator(_rate),
    Allowed(
        "a number of requests a period is needed, such as 60/minute or 5/10seconds, "
        "several (at most 10) separated by ';' or ',', or off"
    ),
]
RedisUrl = Annotated[
    SecretStr,
    Field(repr=False),
    AfterValidator(_redis_url),
    Allowed(
        "a URL such as redis://:password@host:6379/0 is needed, with / # ? @ : % of a password URL-encoded and no options but "
        "those of TLS (its value is not shown, it may hold a password)"
    ),
]


def _printable_text(value: str) -> str:
    if not is_text(value) or len(value) > 256:
        raise ValueError("no printable text")
    return value


_Text = Annotated[str, AfterValidator(_printable_text), Allowed("printable text of at most 256 characters")]
_Model = Annotated[str, Field(min_length=1), AfterValidator(_printable_text), Allowed("printable text of 1 to 256 characters")]
_Variable = Annotated[
    str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,255}$"), Allowed("the name of a variable, not the key itself")
]


class ProviderSettings(BaseModel):
    """One model provider. ``latency`` and ``failure_rate`` are the built-in one's, the other fields OpenAI's."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: Annotated[Literal["builtin", "openai"], Allowed("builtin or openai")] = "builtin"
    latency: Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False), Allowed("a number of seconds from 0 on")] = 0.02
    """Seconds the built-in provider takes for an answer."""
    failure_rate: Annotated[float, Field(ge=0, le=1), Allowed("a number from 0 to 1")] = 0.0
    """Share of the built-in provider's calls that fail, 0 to 1."""
    model: _Model = "builtin-1"
    base_url: _Text = ""
    api_key_env: _Variable = "OPENAI_API_KEY"
    """Name of the variable that holds the key; the key itself is no setting."""
    timeout: Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False), Allowed("a number of seconds above 0")] = 30.0
    """Seconds one attempt may take."""
    stream: Annotated[bool, Allowed("true or false")] = True
    """Whether the answer is asked for piece by piece; off for servers that cannot stream."""
    max_in_flight: Annotated[int, Field(ge=0, le=LARGEST), Allowed("a whole number from 0 on")] = 0
    """Calls at once; further calls wait for their turn. 0: no limit."""
    response_limit: Annotated[int, Field(gt=0, le=LARGEST), Allowed("a whole number above 0")] = 8 * 2**20
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
    """An http or https URL of a host, without credentials, query or fragment. Raises ``ValueError``, without the value."""
    try:
        plain = isinstance(value, str) and re.fullmatch(r"[!-~]{1,2000}", value) and "\\" not in value
        parts = urlsplit(str(value) if plain else "")
        usable = parts.scheme in ("http", "https") and _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or "?" in str(value) or "#" in str(value):
        raise ValueError("an http or https URL such as http://host:9000 is needed, without user, query and fragment")
    return str(value).rstrip("/")


def _is_host(name: str) -> bool:
    """Whether this is an IPv6 address (``urlsplit`` checks those in brackets) or a name that can be resolved."""
    parts = name.removesuffix(".").split(".")
    return ":" in name or (len(name) < 255 and all(re.fullmatch(r"[a-z0-9_-]{1,63}", part) for part in parts))


_REDIS_OPTIONS = {"ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
"""Options of TLS; the others are settings of ours, or are refused by the client only when it connects."""


def check_redis_url(value: str) -> None:
    """Checks what the clients of Redis would find wrong only when they connect. Raises ``ValueError``, without the value."""
    parts = urlsplit(value)
    options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else {}
    usable = (
        parts.scheme in ("redis", "rediss")
        and re.fullmatch(r"[^\s\\]+", value) is not None
        and is_text(unquote(value))
        and _is_host(parts.hostname or "")
        and parts.port != 0
        and re.fullmatch(r"/?[0-9]{0,9}", parts.path) is not None
        and not parts.fragment
        and (options.keys() <= _REDIS_OPTIONS if parts.scheme == "rediss" else not options)
        and all(len(values) == 1 for values in options.values())
    )
    if not usable:
        raise ValueError("no URL of Redis")
    _check_tls({name: values[0] for name, values in options.items()})


def _check_tls(options: Mapping[str, str]) -> None:
    """Loads the files that the options name, as the client does when it connects. Raises ``ValueError``."""
    if options.get("ssl_cert_reqs", "none") not in ("required", "optional", "none"):
        raise ValueError("ssl_cert_reqs is not known")
    for name in options.keys() & {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}:
        read_text(options[name])
    authorities, directory = options.get("ssl_ca_certs"), options.get("ssl_ca_path")
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if (directory is not None and not Path(directory).is_dir()) or (key is not None and certificate is None):
        raise ValueError("no directory of certificates, or a key without its certificate")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if authorities is not None or directory is not None:
            context.load_verify_locations(authorities, directory)
        if certificate is not None:
            context.load_cert_chain(certificate, key, password=lambda: b"-")  # never asks at the terminal
    except OSError:  # ssl.SSLError is one
        raise ValueError("a certificate or key cannot be used") from None


def named(value: object, rule: str) -> Mapping[str, Any]:
    """Returns a mapping, or the one of a JSON text, whose keys are names. Raises ``ValueError`` with the rule."""
    try:
        found = parse_json(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{rule}, and this is none ({error})") from None
    if not isinstance(found, Mapping):
        raise ValueError(rule)
    for name in found:
        if not isinstance(name, str) or not re.fullmatch(_NAME, name):
            raise ValueError(f"{rule}; a name is made of {_NAME_RULE}")
    return found


def _urls(value: object) -> Mapping[str, str]:
    rule = 'a JSON object of names and URLs is needed, such as {"navi": "http://navi:9000"}'
    found = named(value, rule)
    if isinstance(value, str) and not found:
        raise ValueError(f"{rule}; without the variable the built-in agents are used")
    return MappingProxyType({name: _url_of(name, address) for name, address in found.items()})


def _url_of(name: str, address: object) -> str:
    try:
        return url(address)
    except ValueError as error:
        raise ValueError(f"for {name!r} {error}") from None


def _providers(value: object) -> Mapping[str, ProviderSettings]:
    rule = 'a JSON object of names and settings is needed, such as {"fast": {"kind": "builtin", "latency": 0.02}}'
    found = named(value, rule)
    if not found:
        raise ValueError("at least one provider is needed")
    return MappingProxyType({name: _provider(name, one) for name, one in found.items()})


def _provider(name: str, value: object) -> ProviderSettings:
    fields = ProviderSettings.model_fields
    try:
        return ProviderSettings.model_validate(value)
    except ValidationError as refused:
        error = refused.errors()[0]
    if error["type"] == "value_error" and not error["loc"]:
        raise ValueError(f"the base_url of provider {name!r} is not usable: {error['ctx']['error']}")
    if not error["loc"] or error["loc"][0] not in fields:
        raise ValueError(f"the settings of provider {name!r} are an object with some of {', '.join(fields)}")
    key = str(error["loc"][0])
    number = isinstance(error["input"], int | float)  # text may be a key at a wrong place
    given = f", not {shown(error['input'])}" if number else ""
    raise ValueError(f"the {key} of provider {name!r} is {reason(fields[key], error)}{given}")


def _routes(value: object) -> Mapping[str, tuple[str, ...]]:
    rule = 'a JSON object of task types and provider names is needed, such as {"summary": ["fast", "steady"]}'
    found = named(value, rule)
    for names in found.values():
        if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(rule)
    return MappingProxyType({task_type: tuple(names) for task_type, names in found.items()})


def _label_limits(value: object) -> Mapping[str, int]:
    rule = 'a JSON object of label keys and whole numbers above 0 is needed, such as {"workspace_id": 500}'
    found = named(value, rule)
    if not all(type(limit) is int and 0 < limit <= LARGEST for limit in found.values()):
        raise ValueError(rule)
    return MappingProxyType(dict(found))


Urls = Annotated[Mapping[str, str], PlainValidator(_urls), HIDDEN]
Providers = Annotated[Mapping[str, ProviderSettings], PlainValidator(_providers), HIDDEN]
Routes = Annotated[Mapping[str, tuple[str, ...]], PlainValidator(_routes)]
LabelLimits = Annotated[Mapping[str, int], PlainValidator(_label_limits)]
PriceList = Annotated[Prices, PlainValidator(lambda value: value if isinstance(value, Prices) else Prices.read(value))]


def _directory(value: str) -> str:
    if value and (not value.strip() or not is_text(value)):
        raise ValueError("no path")
    return value


Directory = Annotated[str, AfterValidator(_directory), Allowed("the path of a directory is needed")]
