"""The values of the settings: each function takes text or a value and returns it normalised.

They raise ``ValueError`` with what is allowed, in the words of the error that an operator reads.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import limits

from agents.settings.prices import Prices

__all__ = ["ProviderSettings", "SettingsError"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NAME_RULE = "letters, digits, '_', '.', '-', at most 64 of them"


class SettingsError(ValueError):
    """A setting that cannot be used; the message is one sentence that names it, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One model provider. ``latency`` and ``failure_rate`` are the built-in one's, the other fields OpenAI's."""

    kind: str = "builtin"
    latency: float = 0.02
    """Seconds the built-in provider takes for an answer."""
    failure_rate: float = 0.0
    """Share of the built-in provider's calls that fail, 0 to 1."""
    model: str = "builtin-1"
    base_url: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the variable that holds the key; the key itself is no setting."""
    timeout: float = 30.0
    """Seconds one attempt may take."""
    stream: bool = True
    """Whether the answer is asked for piece by piece; off for servers that cannot."""
    max_in_flight: int = 0
    """Calls at once; more wait for their turn. 0: no limit."""

    def __post_init__(self) -> None:
        if self.kind not in ("builtin", "openai"):
            raise ValueError(f"the kind of a provider is builtin or openai, not {self.kind!r}")
        if not 0 <= _number(self.failure_rate) <= 1:
            raise ValueError(f"the failure_rate of a provider is a number from 0 to 1, not {self.failure_rate!r}")
        if not 0 <= _number(self.latency) < math.inf:
            raise ValueError(f"the latency of a provider is a number of seconds from 0 on, not {self.latency!r}")
        if not 0 < _number(self.timeout) < math.inf:
            raise ValueError(f"the timeout of a provider is a number of seconds above 0, not {self.timeout!r}")
        if not isinstance(self.stream, bool):
            raise ValueError(f"the stream of a provider is true or false, not {self.stream!r}")
        if not isinstance(self.max_in_flight, int) or isinstance(self.max_in_flight, bool) or self.max_in_flight < 0:
            raise ValueError(f"the max_in_flight of a provider is a whole number from 0 on, not {self.max_in_flight!r}")
        for name in ("model", "base_url", "api_key_env"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"the {name} of a provider is text, not {getattr(self, name)!r}")
        if self.kind == "openai":
            url(self.base_url)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def seconds(value: float | str) -> float:
    """A finite number above 0."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError("a number of seconds above 0 is needed, such as 30 or 0.5")
    return number


def count(value: int | str) -> int:
    """A whole number above 0."""
    text = str(value)
    if not text.isascii() or not text.isdigit() or int(text[:20]) < 1:
        raise ValueError("a whole number above 0 is needed")
    return int(text[:20])


def count_or_none(value: int | str) -> int:
    """A whole number from 0 on."""
    return 0 if str(value) == "0" else count(value)


def prices(value: str | Prices) -> Prices:
    """The prices of a file."""
    return value if isinstance(value, Prices) else Prices.read(value)


def switch(value: bool | str) -> bool:
    """True or false."""
    known = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
    if str(value).lower() not in known:
        raise ValueError("true or false is needed")
    return known[str(value).lower()]


def identifier(value: str) -> str:
    """A name that can be a label value."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"a name of {_NAME_RULE} is needed")
    return value


def one_of(*allowed: str) -> Callable[[str], str]:
    """One of these words."""

    def read(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"{' or '.join(allowed)} is needed")
        return value

    return read


def rate(value: str) -> str:
    """A limit such as ``60/minute``, or ``off``."""
    if value == "off":
        return value
    try:
        if not isinstance(value, str) or limits.parse(value).amount < 1:
            raise ValueError
    except ValueError:
        raise ValueError("a number of requests a period is needed, such as 60/minute or 5/10seconds, or off") from None
    return value


def url(value: str) -> str:
    """An http or https URL of a host, without credentials, query or fragment."""
    rule = "an http or https URL such as http://host:9000 is needed, without user, query and fragment"
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError(rule) from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment or " " in value:
        raise ValueError(rule)
    return value.rstrip("/")


def redis_url(value: str) -> str:
    """A Redis URL, or nothing."""
    if value and (not isinstance(value, str) or urlsplit(value).scheme not in ("redis", "rediss")):
        raise ValueError("a URL such as redis://host:6379/0 is needed (its value is not shown, it may hold a password)")
    return value


def _mapping(value: Mapping[str, Any] | str, rule: str) -> Mapping[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{rule}, and this is no JSON") from None
    if not isinstance(found, Mapping):
        raise ValueError(rule)
    for name in found:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{rule}; {name!r} is no name ({_NAME_RULE})")
    return found


def urls(value: Mapping[str, str] | str) -> Mapping[str, str]:
    """Agent name -> URL."""
    found = _mapping(value, 'a JSON object of names and URLs is needed, such as {"navi": "http://navi:9000"}')
    return MappingProxyType({name: url(address) for name, address in found.items()})


def providers(value: Mapping[str, Any] | str) -> Mapping[str, ProviderSettings]:
    """Provider name -> its settings."""
    rule = 'a JSON object of names and settings is needed, such as {"fast": {"kind": "builtin", "latency": 0.02}}'
    found = _mapping(value, rule)
    if not found:
        raise ValueError("at least one provider is needed")
    return MappingProxyType({name: _provider(name, one) for name, one in found.items()})


def _provider(name: str, value: Any) -> ProviderSettings:
    if isinstance(value, ProviderSettings):
        return value
    known = ProviderSettings.__slots__
    if not isinstance(value, Mapping) or not set(value) <= set(known):
        raise ValueError(f"the settings of provider {name!r} are an object with some of {', '.join(known)}")
    return ProviderSettings(**value)


def routes(value: Mapping[str, Any] | str) -> Mapping[str, tuple[str, ...]]:
    """Task type -> provider names."""
    rule = 'a JSON object of task types and provider names is needed, such as {"summary": ["fast", "steady"]}'
    found = _mapping(value, rule)
    for names in found.values():
        if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(rule)
    return MappingProxyType({task_type: tuple(names) for task_type, names in found.items()})


def label_limits(value: Mapping[str, Any] | str) -> Mapping[str, int]:
    """Label key -> how many values that no setting names keep series of their own."""
    rule = 'a JSON object of label keys and whole numbers above 0 is needed, such as {"workspace_id": 500}'
    found = _mapping(value, rule)
    if not all(type(limit) is int and limit > 0 for limit in found.values()):
        raise ValueError(rule)
    return MappingProxyType(dict(found))


def secret(variable: str) -> str:
    """The value of a variable that holds a key; empty where it is not set."""
    return os.environ.get(variable, "")
