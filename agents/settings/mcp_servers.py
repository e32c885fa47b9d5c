"""The type of the setting that names MCP servers. See ``values``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from agents.settings.reading import LARGEST
from agents.settings.values import HIDDEN, LONGEST, Allowed, named, reason, url
from telemetry._base.printable import is_encodable, is_text, shown

__all__ = ["McpServerSettings", "McpServers"]

_MOST_SERVERS = 20
_RULE = (
    'a JSON object of names and servers is needed, such as {"search": {"command": ["search-server", "--stdio"]}, '
    '"wiki": {"url": "https://wiki.example/mcp"}}'
)


def _words(value: list[str]) -> list[str]:
    if not 0 < len(value) <= 100 or not value[0] or not all(_is_word(word) for word in value):
        raise ValueError("no command")
    return value


def _variables(value: dict[str, str]) -> dict[str, str]:
    if len(value) > 100 or not all(name and "=" not in name and _is_word(name) for name in value):
        raise ValueError("no variables")
    if not all(_is_word(text) for text in value.values()):
        raise ValueError("no texts")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    names = all(re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", name) for name in value)  # RFC 9110, section 5.6.2
    if len(value) > 100 or not names or not all(re.fullmatch(r"[ -~]{0,8000}", text) for text in value.values()):
        raise ValueError("no headers")
    return value


def _is_word(text: str) -> bool:
    """Whether a process can be given this text."""
    return len(text) <= 10_000 and "\0" not in text and is_encodable(text)


def _tool(value: str) -> str:
    if not is_text(value) or len(value) > 128:
        raise ValueError("no name")
    return value


class McpServerSettings(BaseModel):
    """One MCP server: a command that is started and spoken to over stdio, or the URL of a streamable HTTP server."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    command: Annotated[
        list[str], Field(repr=False), AfterValidator(_words), Allowed("a list of texts: the program and its arguments")
    ] = []
    """The program and its arguments; they may hold a secret."""
    env: Annotated[
        dict[str, str], Field(repr=False), AfterValidator(_variables), Allowed("an object of variables and texts")
    ] = {}
    """Variables of the process, beside those that every process needs. None of the service's own are passed on."""
    url: Annotated[str, Field(repr=False)] = ""
    """Where the server's endpoint is; its query may hold a secret."""
    headers: Annotated[
        dict[str, str], Field(repr=False), AfterValidator(_headers), Allowed("an object of header names and ASCII texts")
    ] = {}
    """Headers of each request to the URL, such as ``Authorization``."""
    tool: Annotated[str, AfterValidator(_tool), Allowed("the name of a tool, at most 128 characters")] = ""
    """The tool that is called. Empty: the first one that says it only reads, and needs one argument, a text."""
    timeout: Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False), Allowed("a number of seconds above 0")] = 10.0
    """Seconds that a call of a tool may take."""
    response_limit: Annotated[int, Field(gt=0, le=LARGEST), Allowed("a whole number above 0")] = 2**20
    """Bytes that one message of the server may have."""

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("either a command or a url is needed")
        if self.env and self.url:
            raise ValueError("env belongs to a command, and it has a url")
        if self.headers and self.command:
            raise ValueError("headers belong to a url, and it has a command")
        if self.url:
            url(self.url.partition("?")[0])
            if not is_text(self.url) or any(one in self.url for one in " #\\"):
                raise ValueError("an http or https URL such as https://host/mcp is needed")
        return self

    @property
    def address(self) -> tuple[str, str]:
        """Host and port of the URL; empty for a command."""
        parts = urlsplit(self.url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        return (parts.hostname, str(port)) if parts.hostname else ("", "")


def _servers(value: object) -> Mapping[str, McpServerSettings]:
    found = named(value, _RULE)
    if isinstance(value, str) and not found:
        raise ValueError(f"{_RULE}; without the variable a server inside the process is used")
    if len(found) > _MOST_SERVERS:
        raise ValueError(f"at most {_MOST_SERVERS} servers are allowed")
    return MappingProxyType({name: _server(name, one) for name, one in found.items()})


def _server(name: str, value: object) -> McpServerSettings:
    fields = McpServerSettings.model_fields
    try:
        return McpServerSettings.model_validate(value)
    except ValidationError as refused:
        error = refused.errors()[0]
    if error["type"] == "value_error" and not error["loc"]:
        raise ValueError(f"MCP server {name!r} is not usable: {error['ctx']['error']}")
    if not error["loc"] or error["loc"][0] not in fields:
        raise ValueError(f"the settings of MCP server {name!r} are an object with some of {', '.join(fields)}")
    key = str(error["loc"][0])
    number = key in ("timeout", "response_limit") and isinstance(error["input"], int | float)  # others may be secrets
    given = f", not {shown(error['input'])}" if number else ""
    raise ValueError(f"the {key} of MCP server {name!r} is {reason(fields[key], error)}{given}")


McpServers = Annotated[Mapping[str, McpServerSettings], PlainValidator(_servers), HIDDEN]
