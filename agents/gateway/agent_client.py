"""The client of one agent: its address from the settings, its card, its connection pool."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.client.card_resolver import parse_agent_card
from a2a.client.transports import ClientTransport
from a2a.compat.v0_3.jsonrpc_transport import CompatJsonRpcTransport
from a2a.compat.v0_3.versions import is_legacy_version
from a2a.types.a2a_pb2 import AgentCard
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import Span, TracerProvider

from agents.gateway.failure import RunFailure, failure_of
from agents.gateway.json_rpc import JsonReader, JsonRpc
from agents.gateway.transport import AgentTransport
from agents.outgoing import UntracedPool, outgoing_client
from telemetry._base.printable import is_id, printable
from telemetry.agentos.agent_names import (
    A2A_METHOD_NAME,
    A2A_PROTOCOL_VERSION,
    GEN_AI_AGENT_DESCRIPTION,
    GEN_AI_AGENT_NAME,
    GEN_AI_AGENT_VERSION,
)
from telemetry.agentos.catalogue import OPERATION
from telemetry.tracing.exceptions import leave_out_messages

__all__ = ["AgentClient", "operation_label"]

_CONNECT_SECONDS = 5.0
_STALE_SECONDS = 30.0
"""Age of a card from which an operation that it does not name makes the client fetch it again."""
_OPERATIONS = 1000
"""Skills of a card that are used; each becomes series."""
_URL_CHARACTERS = 2000
_ID_CHARACTERS = 64
"""Characters of an operation in a request."""
_TEXT_CHARACTERS = 200
"""Characters of a text of the card on a span."""


class AgentClient:
    """The A2A client of one agent, with a connection pool, or a given transport in its place.

    The card is fetched when it is first needed, and again when it may have changed.
    """

    def __init__(
        self,
        name: str,
        url: str,
        response_limit: int,
        tracer_provider: TracerProvider | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.operations: Mapping[str, str] = {}
        """Skill id -> description, from the card."""
        self.streams = False
        """Whether the agent streams its answers, from the card."""
        self.attributes: Mapping[str, str | int] = {}
        """What card and address say of the agent, as attributes of the spans of its calls."""
        self._url = url
        self._clock = clock
        self._fetched_at: float | None = None
        self._version = ""
        """Version of A2A that is spoken, from the card."""
        self._client: Client | None = None
        self._fetching = asyncio.Lock()
        # The client span carries the trace context to the agent.
        traced = AsyncOpenTelemetryTransport(transport or _pool(), tracer_provider, NoOpMeterProvider(), _leave_out_messages)
        self._transport = AgentTransport(url, response_limit, traced)
        self._reader = JsonReader()
        self._http = outgoing_client(
            self._transport,
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),  # the run's own deadline covers the rest
        )

    @property
    def known(self) -> bool:
        """Whether the card has been read."""
        return self._client is not None

    @property
    def a2a(self) -> Client:
        """The A2A client. Raises ``RuntimeError`` before ``fetch_card`` has succeeded."""
        if self._client is None:
            raise RuntimeError(f"the card of agent {self.name!r} has not been read")
        return self._client

    async def fetch_card(self, operation: str) -> bool:
        """Fetches the card unless it is known; fetches an old card again if it lacks the operation.

        Returns:
            Whether the card was fetched.

        Raises:
            RunFailure: The card cannot be read.
        """
        if self._is_settled(operation):
            return False
        async with self._fetching:
            if self._is_settled(operation):
                return False
            try:
                card = await self._read_card()
                factory = ClientFactory(ClientConfig(streaming=True, httpx_client=self._http))
                factory.register("JSONRPC", self._transport_for)
                client = factory.create(card)
            except Exception as error:
                raise failure_of(error) from error
            self.operations = _operations(card)
            self.streams = card.capabilities.streaming
            self.attributes = _attributes(card, self._version, self._url)
            self._client = client
            self._fetched_at = self._clock()
            return True

    def _is_settled(self, operation: str) -> bool:
        if self._fetched_at is None:
            return False
        return operation in self.operations or self._clock() - self._fetched_at < _STALE_SECONDS

    async def _read_card(self) -> AgentCard:
        with suppress_http_instrumentation():  # a card is no call of the agent, and has no trace of its own
            response = await self._http.get(f"{self._url}{AGENT_CARD_WELL_KNOWN_PATH}")
        response.raise_for_status()
        return await self._reader.read(response.content, self._usable_card)

    def _usable_card(self, document: Any) -> AgentCard:
        """Parses a card. Scheme, host and port of its addresses come from the settings, only the path from the card."""
        card = parse_agent_card(document)
        base = urlsplit(self._url)
        for interface in card.supported_interfaces:
            if len(interface.url) > _URL_CHARACTERS:
                raise RunFailure("protocol", "the agent's card has an address that is too long")
            interface.url = urlsplit(interface.url)._replace(scheme=base.scheme, netloc=base.netloc).geturl()
        return card

    def _transport_for(self, card: AgentCard, url: str, _: ClientConfig) -> ClientTransport:
        """The transport for JSON-RPC at this URL: the SDK's where the agent speaks A2A 0.3 alone."""
        versions = [one.protocol_version for one in card.supported_interfaces if one.url == url]
        current = [one for one in versions if one[:1] in "123456789" and one]
        old = [one for one in versions if is_legacy_version(one)]
        self._transport.legacy = bool(old) and not current
        self._version = next(iter(current or old), "")
        if self._transport.legacy:
            return CompatJsonRpcTransport(self._http, card, url, is_shared_httpx=True)
        return JsonRpc(self._http, card, url, self._reader)

    async def close(self) -> None:
        """Closes the pool."""
        await self._http.aclose()


def _pool() -> UntracedPool:
    # Idle connections are closed before servers close them (5 s and more): no request meets a closing one.
    return UntracedPool(limits=httpx.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=2.0))


def operation_label(operation: str) -> str:
    """Returns an operation as a label's value: ``invalid`` for an id outside the label's domain, which agents choose freely."""
    return operation if OPERATION.pattern is None or re.fullmatch(OPERATION.pattern, operation) else "invalid"


def _operations(card: AgentCard) -> Mapping[str, str]:
    """The operations of a card: bounded in number, with ids that a request can name and a log line can show."""
    usable = (skill for skill in card.skills if is_id(skill.id, _ID_CHARACTERS))
    return {skill.id: printable(skill.description) for skill in islice(usable, _OPERATIONS)}


def _attributes(card: AgentCard, version: str, url: str) -> Mapping[str, str | int]:
    address = urlsplit(url)
    texts = {
        A2A_METHOD_NAME: "SendStreamingMessage" if card.capabilities.streaming else "SendMessage",
        A2A_PROTOCOL_VERSION: version,
        GEN_AI_AGENT_NAME: card.name,
        GEN_AI_AGENT_DESCRIPTION: card.description,
        GEN_AI_AGENT_VERSION: card.version,
        SERVER_ADDRESS: address.hostname or "",
    }
    port = address.port or {"http": 80, "https": 443}.get(address.scheme, 0)
    return {key: printable(text, _TEXT_CHARACTERS) for key, text in texts.items() if text} | {SERVER_PORT: port}


async def _leave_out_messages(span: Span, _: object) -> None:
    leave_out_messages(span)
