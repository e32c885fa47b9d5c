"""Rate limits by workspace and route, and by client address. Each decision is recorded when it is taken."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi.routing import iter_route_contexts
from limits import RateLimitItem, parse
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.api.problem import problem
from agents.api.workspace import NO_WORKSPACE, ON_ACCEPTED, BadWorkspace, workspace_of
from agents.middleware.exact_path import OPERATORS
from agents.services.storage.memory_window import MonotonicMemoryStorage
from agents.services.storage.redis_guard import RedisGuard, RedisUnavailable
from agents.services.storage.redis_replies import connection_options
from agents.services.storage.redis_window import RedisWindowStorage
from agents.settings import Settings
from telemetry.agentos.recorder import Recorder
from telemetry.metric.label import OTHER

__all__ = ["Limiter", "RateLimit", "Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The limit that refuses a request, and the seconds until its window ends."""

    policy: str
    seconds: int


class Limiter:
    """Counts requests in fixed windows that begin with their first request, in memory or in Redis."""

    def __init__(self, settings: Settings, guard: RedisGuard | None) -> None:
        self._guard = guard
        self._pool: ConnectionPool | None = None
        self._strategy = FixedWindowRateLimiter(self._storage(settings))
        self._limits: dict[str, RateLimitItem] = {
            name: parse(rate)
            # The client's limit comes first: it stops a client that rotates workspaces before a new one takes memory.
            for name, rate in (("client", settings.client_rate_limit), ("workspace", settings.rate_limit))
            if rate != "off"
        }
        self.policies = ", ".join(f'"{name}";q={item.amount};w={item.get_expiry()}' for name, item in self._limits.items())
        """The value of ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers)."""

    def _storage(self, settings: Settings) -> MonotonicMemoryStorage | RedisWindowStorage:
        if self._guard is None:
            return MonotonicMemoryStorage()
        self._pool = ConnectionPool(**connection_options(settings))
        return RedisWindowStorage(settings, self._pool)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Closes the connections to Redis on exit."""
        try:
            yield
        finally:
            if self._pool is not None:
                await self._pool.aclose()

    @property
    def is_on(self) -> bool:
        """Whether at least one limit is set."""
        return bool(self._limits)

    async def decide(self, client: str, workspace: str, endpoint: str) -> Refusal | None:
        """Counts one request.

        Returns:
            The limit that refuses it, ``None`` if it is allowed.

        Raises:
            RedisUnavailable: Redis does not answer in time, or did not a moment ago.
        """
        if self._guard is None:
            return await self._decide(client, workspace, endpoint)
        async with self._guard.use():
            return await self._decide(client, workspace, endpoint)

    async def _decide(self, client: str, workspace: str, endpoint: str) -> Refusal | None:
        for name, item in self._limits.items():
            key = (name, client) if name == "client" else (name, workspace, endpoint)
            if not await self._strategy.hit(item, *key):
                stats = await self._strategy.get_window_stats(item, *key)
                return Refusal(name, max(1, math.ceil(stats.reset_time - time.time())))
        return None


class RateLimit:
    """ASGI middleware that asks the limiter, records its decision, and answers 429 or calls the application.

    It matches the route itself, before routing does: a path without a route is not counted, and becomes no label value. A
    request that is refused, here or behind, gives its workspace no series: it counts under the one that the workspace has
    already, or under ``other``. So no client fills the label's limit without being served.
    """

    def __init__(self, app: ASGIApp, limiter: Limiter, recorder: Recorder, *, allow_on_error: bool) -> None:
        self._app = app
        self._limiter = limiter
        self._recorder = recorder
        self._allow_on_error = allow_on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 400 for a bad workspace id, before the limiter decides."""
        endpoint = _route_template(scope) if scope["type"] == "http" else None
        if endpoint is None or endpoint in OPERATORS:
            await self._app(scope, receive, send)
            return
        try:
            workspace = workspace_of(scope)
        except BadWorkspace as error:
            await problem(400, "bad_workspace", str(error))(scope, receive, send)
            return
        if not self._limiter.is_on:
            await self._app(scope, receive, send)
            return
        result, refusal = await self._decide(scope, workspace, endpoint)
        if refusal is None and not self._has_series(workspace):
            await self._count_later(endpoint, result, workspace, scope, receive, send)
            return
        self._recorder.rate_limit_decision(endpoint, result, workspace if self._has_series(workspace) else OTHER)
        await (refusal or self._app)(scope, receive, send)

    def _has_series(self, workspace: str) -> bool:
        return workspace == NO_WORKSPACE or self._recorder.has_workspace(workspace)

    async def _count_later(
        self, endpoint: str, result: str, workspace: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Counts the decision for a new workspace as soon as the request is served, or as ``other`` if it is refused."""
        counted = False

        def count(value: str = workspace) -> None:
            nonlocal counted
            if not counted:
                counted = True
                self._recorder.rate_limit_decision(endpoint, result, value)

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(OTHER if 400 <= message["status"] < 500 else workspace)
            await send(message)

        scope[ON_ACCEPTED] = count
        try:
            await self._app(scope, receive, counting_send)
        finally:
            count(OTHER)

    async def _decide(self, scope: Scope, workspace: str, endpoint: str) -> tuple[str, ASGIApp | None]:
        """Returns the decision as the metric names it, and the answer to a request that is refused."""
        try:
            refusal = await self._limiter.decide(_client(scope), workspace, endpoint)
        except RedisUnavailable:
            if self._allow_on_error:
                return "error", None
            reason = "the rate limiter's store does not answer"
            return "error", problem(503, "limiter_away", reason, {"Retry-After": "1"})
        if refusal is None:
            return "allowed", None
        headers = {
            "RateLimit-Policy": self._limiter.policies,
            "RateLimit": f'"{refusal.policy}";r=0;t={refusal.seconds}',
            "Retry-After": str(refusal.seconds),
        }
        reason = f"the limit by {refusal.policy} is used up for {refusal.seconds} s"
        return "denied", problem(429, "rate_limited", reason, headers)


def _route_template(scope: Scope) -> str | None:
    """The template of the route that will serve this request; ``None`` for a path without a route."""
    for route in iter_route_contexts(scope["app"].routes):
        if route.matches(scope)[0] is Match.FULL:
            return route.path
    return None


def _client(scope: Scope) -> str:
    """The client's address; for IPv6 its /64, since one host can usually choose any address in it."""
    host = scope["client"][0] if scope.get("client") else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
