"""The types of the settings that say which clients may read /metrics, and where. See ``values``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PlainValidator

from agents.settings.values import GUARD
from telemetry._base.json_text import parse_json
from telemetry._base.printable import is_text
from telemetry.exposition import Token, TokenError
from telemetry.exposition.access import read_tokens

__all__ = ["Listen", "Proxies"]

Network = IPv4Network | IPv6Network
_WORKSPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Listen:
    """The address of a listener: ``host`` and ``port``, or the Unix socket at ``path``."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        """Parses ``host:port`` or ``unix:/path``. Raises ``ValueError``."""
        scheme, _, path = text.partition(":")
        if scheme == "unix" and path.startswith("/") and is_text(path) and not path.endswith("/"):
            return cls(path=path)
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if re.fullmatch(r"[A-Za-z0-9_.:%-]+", host) and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
            return cls(host, int(port))
        raise ValueError("host:port such as 0.0.0.0:9464 or [::1]:9464, or unix:/run/agentos/metrics.sock, is needed")


def _tokens(value: str | Collection[Token]) -> tuple[Token, ...]:
    """Tokens, separated by commas. The text is not kept."""
    if not isinstance(value, str):
        return tuple(value)
    try:
        found = tuple(Token(one.strip()) for one in value.split(",") if one.strip())
    except TokenError as error:
        raise ValueError(f"{error}; several are separated by commas (none is shown here)") from None
    if not found:
        raise ValueError("at least one token is needed; without the variable all clients may read")
    return found


def _token_file(value: str) -> str:
    try:
        if value:
            read_tokens(Path(value))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"the path of a file with one token a line is needed ({reason})") from None
    return value


def _networks(value: str | Collection[Network]) -> tuple[Network, ...]:
    """Networks, separated by commas; an address is a network of one."""
    if not isinstance(value, str):
        return tuple(value)
    needed = "networks such as 10.0.0.0/8,fd00::/8,192.0.2.7 are needed, without bits set behind the prefix"
    try:
        found = tuple(_network(one.strip()) for one in value.split(",") if one.strip())
    except ValueError:
        raise ValueError(needed) from None
    if not found:
        raise ValueError(f"{needed}; this names none")
    return found


def _network(text: str) -> Network:
    found = ip_network(text)
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) and found.prefixlen >= 96 else None
    return found if mapped is None else IPv4Network((mapped, found.prefixlen - 96))


def _listen(value: str) -> str:
    if value:
        Listen.of(value)
    return value


@dataclass(frozen=True, slots=True)
class Proxies:
    """Peers whose ``X-Forwarded-For`` is believed: networks, and those of a Unix socket, which have no address."""

    networks: tuple[Network, ...] = ()
    unix: bool = True


def _proxies(value: str | Proxies) -> Proxies:
    if isinstance(value, Proxies):
        return value
    names = [one.strip() for one in value.split(",") if one.strip()]
    networks = ",".join(name for name in names if name != "unix")
    try:
        return Proxies(_networks(networks) if networks or not names else (), "unix" in names)
    except ValueError as error:
        raise ValueError(f"unix, or {error}") from None


def _api_keys(value: object) -> Mapping[str, tuple[Token, ...]]:
    """Workspace -> its keys. Neither the text nor a key of it is in an error."""
    rule = 'a JSON object of workspaces and keys is needed, such as {"acme": "a-key-of-16-characters-or-more"}'
    try:
        found = parse_json(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{rule}; {error}") from None
    if not isinstance(found, Mapping) or (isinstance(value, str) and not found):
        raise ValueError(rule)
    keys = {workspace: _keys_of(workspace, given) for workspace, given in found.items()}
    if len({key for several in keys.values() for key in several}) < sum(map(len, keys.values())):
        raise ValueError("each key has to be given once")
    return MappingProxyType(keys)


def _keys_of(workspace: str, given: object) -> tuple[Token, ...]:
    if not _WORKSPACE.fullmatch(workspace):
        raise ValueError("a workspace has letters, digits, '_', '.', '-', at most 64 of them")
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list | tuple) or not several:
        raise ValueError("each workspace has a key, or a list of keys")
    try:
        return tuple(key if isinstance(key, Token) else Token(key if isinstance(key, str) else "") for key in several)
    except TokenError as error:
        raise ValueError(str(error).replace("a token", "a key")) from None


BearerTokens = Annotated[tuple[Token, ...], PlainValidator(_tokens), Field(repr=False), GUARD]
TokenPath = Annotated[str, AfterValidator(_token_file), Field(repr=False), GUARD]
"""The path of a file that holds a token now, or nothing. Not shown: it may be a token by mistake."""
Networks = Annotated[tuple[Network, ...], PlainValidator(_networks), GUARD]
ListenAddress = Annotated[str, AfterValidator(_listen), GUARD]
"""``host:port`` or ``unix:/path``; nothing for no listener."""

TrustedProxies = Annotated[Proxies, PlainValidator(_proxies), GUARD]
ApiKeys = Annotated[Mapping[str, tuple[Token, ...]], PlainValidator(_api_keys), Field(repr=False), GUARD]
