"""Rate limits by workspace and route, and by client address. Each decision is recorded when it is taken."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network
from typing import NamedTuple

from fastapi.routing import iter_route_contexts
from limits import RateLimitItem, parse_many
from redis.asyncio import ConnectionPool
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.api.keys import ApiKeys
from agents.api.problem import problem
from agents.api.workspace import NO_WORKSPACE, ON_ACCEPTED, BadWorkspace, workspace_of
from agents.middleware.exact_path import OPERATORS
from agents.middleware.route_memo import RouteMemo
from agents.services.storage.memory_window import MemoryWindows
from agents.services.storage.redis_guard import RedisGuard, RedisUnavailable
from agents.services.storage.redis_replies import connection_options
from agents.services.storage.redis_window import RedisWindows
from agents.services.storage.window import Window, Windows
from agents.settings import Settings
from agents.settings.access import Proxies
from telemetry.agentos.recorder import Recorder
from telemetry.exposition.access import address_of, forwarded_client, is_in
from telemetry.metric.label import OTHER

__all__ = ["Limiter", "RateLimit", "Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The limit that refuses a request, and the seconds until its window ends."""

    policy: str
    seconds: int


class _Limit(NamedTuple):
    """One limit: the policy's name, whom it counts (``client`` or ``workspace``), and its amount and window."""

    policy: str
    counts: str
    item: RateLimitItem


class Limiter:
    """Counts requests in fixed windows that begin with their first request, in memory or in Redis.

    A request is counted by all limits or, if one of them is used up, by none.
    """

    def __init__(self, settings: Settings, guard: RedisGuard | None) -> None:
        self._guard = guard
        self._pool = None if guard is None else ConnectionPool(**connection_options(settings))
        self._windows: Windows = MemoryWindows() if self._pool is None else RedisWindows(self._pool)
        self._limits = [*_limits_of("client", settings.client_rate_limit), *_limits_of("workspace", settings.rate_limit)]
        self.policies = ", ".join(f'"{name}";q={item.amount};w={item.get_expiry()}' for name, _, item in self._limits)
        """The value of ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers)."""

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

    async def decide(self, client: str, workspace: str | None, endpoint: str) -> Refusal | None:
        """Counts one request, for its client alone where the workspace is ``None``.

        Returns:
            The limit that refuses it, ``None`` if it is allowed. Of several the one that ends last.

        Raises:
            RedisUnavailable: Redis does not answer in time, or did not a moment ago.
        """
        limits = [limit for limit in self._limits if workspace is not None or limit.counts == "client"]
        wanted = [self._window(limit, client, workspace, endpoint) for limit in limits]
        if not wanted:
            return None
        async with nullcontext() if self._guard is None else self._guard.use():
            full = await self._windows.take(wanted)
        return None if full is None else Refusal(limits[full.place].policy, max(1, math.ceil(full.seconds)))

    @staticmethod
    def _window(limit: _Limit, client: str, workspace: str | None, endpoint: str) -> Window:
        names = (client,) if limit.counts == "client" else (workspace or "", endpoint)
        return Window(limit.item.key_for(limit.counts, *names), limit.item.amount, limit.item.get_expiry())


def _limits_of(counts: str, rate: str) -> list[_Limit]:
    """The limits of a setting, the shortest window first; of several with the same window the smallest holds."""
    if rate == "off":
        return []
    by_window: dict[int, RateLimitItem] = {}
    for item in parse_many(rate):
        known = by_window.get(item.get_expiry())
        if known is None or item.amount < known.amount:
            by_window[item.get_expiry()] = item
    several = len(by_window) > 1
    return [_Limit(f"{counts}-{seconds}s" if several else counts, counts, by_window[seconds]) for seconds in sorted(by_window)]


class RateLimit:
    """ASGI middleware that asks the limiter, records its decision, and answers 429 or calls the application.

    It matches the route itself, before routing does: a path without a route is not counted, and becomes no label value. A
    request that is refused, here or behind, gives its workspace no series: it counts under the one that the workspace has
    already, or under ``other``. So no client fills the label's limit without being served.
    """

    def __init__(self, app: ASGIApp, limiter: Limiter, recorder: Recorder, settings: Settings) -> None:
        self._app = app
        self._limiter = limiter
        self._recorder = recorder
        self._allow_on_error = settings.rate_limit_on_error == "allow"
        self._keys = ApiKeys(settings.api_keys)
        self._proxies = settings.trusted_proxies
        self._endpoint_of = RouteMemo(_route_template)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 400 for a bad workspace id before the limiter decides, and 401 or 403 for a wrong key after it."""
        endpoint = self._endpoint_of(scope) if scope["type"] == "http" else None
        if endpoint is None or endpoint in OPERATORS:
            await self._app(scope, receive, send)
            return
        try:
            unauthorized = self._keys.refusal(scope, endpoint)
            workspace = workspace_of(scope)
        except BadWorkspace as error:
            await problem(400, "bad_workspace", str(error))(scope, receive, send)
            return
        if not self._limiter.is_on:
            await (unauthorized or self._app)(scope, receive, send)
            return
        if unauthorized is not None:  # counted by its client first, so that keys cannot be tried without limit
            result, refusal = await self._decide(scope, None, endpoint)
            self._recorder.rate_limit_decision(endpoint, result, OTHER)
            await (refusal or unauthorized)(scope, receive, send)
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

    async def _decide(self, scope: Scope, workspace: str | None, endpoint: str) -> tuple[str, ASGIApp | None]:
        """Returns the decision as the metric names it, and the answer to a request that is refused."""
        try:
            refusal = await self._limiter.decide(_client(scope, self._proxies), workspace, endpoint)
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


def _client(scope: Scope, proxies: Proxies) -> str:
    """The client's address; for IPv6 its /64, since one host can usually choose any address in it.

    The client is the connection's peer. If that is a trusted proxy, it is the address that the proxy forwards.
    """
    peer = scope["client"][0] if scope.get("client") else None
    address = None if peer is None else address_of(peer)
    if proxies.unix if peer is None else address is not None and is_in(address, proxies.networks):
        address = forwarded_client(scope["headers"], proxies.networks) or address
    if address is None:
        return str(peer or "unknown")
    return str(address) if isinstance(address, IPv4Address) else str(IPv6Network((int(address) >> 64 << 64, 64)))
