"""The client of one agent: its address from the settings, its card, its connection pool."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import httpx
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.types.a2a_pb2 import AgentCard
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import TracerProvider

from agents.gateway.failure import failure_of
from agents.gateway.transport import AgentTransport
from agents.outgoing import UntracedPool, outgoing_client

__all__ = ["AgentClient"]

_CONNECT_SECONDS = 5.0
_STALE_SECONDS = 30.0
"""Age of a card from which an operation that it does not name makes the client fetch it again."""


class AgentClient:
    """The A2A client of one agent, with a connection pool.

    The card is fetched when it is first needed, and again when it may have changed.
    """

    def __init__(
        self,
        name: str,
        url: str,
        response_limit: int,
        tracer_provider: TracerProvider | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.operations: Mapping[str, str] = {}
        """Skill id -> description, from the card."""
        self.streams = False
        """Whether the agent streams its answers, from the card."""
        self._url = url
        self._clock = clock
        self._fetched_at: float | None = None
        self._client: Client | None = None
        self._fetching = asyncio.Lock()
        pool = UntracedPool(
            # Idle connections are closed before servers close them (5 s and more): no request meets a closing one.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=2.0)
        )
        # The client span carries the trace context to the agent.
        traced = AsyncOpenTelemetryTransport(pool, tracer_provider, NoOpMeterProvider())
        self._http = outgoing_client(
            AgentTransport(url, response_limit, traced),
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
                with suppress_http_instrumentation():  # a card is no call of the agent, and has no trace of its own
                    card = await A2ACardResolver(self._http, self._url).get_agent_card()
                client = self._connect(card)
            except Exception as error:
                raise failure_of(error) from error
            self.operations = {skill.id: skill.description for skill in card.skills}
            self.streams = card.capabilities.streaming
            self._client = client
            self._fetched_at = self._clock()
            return True

    def _is_settled(self, operation: str) -> bool:
        if self._fetched_at is None:
            return False
        return operation in self.operations or self._clock() - self._fetched_at < _STALE_SECONDS

    def _connect(self, card: AgentCard) -> Client:
        """The A2A client for a card. Its scheme, host and port come from the settings, only its path from the card."""
        base = urlsplit(self._url)
        for interface in card.supported_interfaces:
            interface.url = urlsplit(interface.url)._replace(scheme=base.scheme, netloc=base.netloc).geturl()
        return ClientFactory(ClientConfig(streaming=True, httpx_client=self._http)).create(card)

    async def close(self) -> None:
        """Closes the pool."""
        await self._http.aclose()
