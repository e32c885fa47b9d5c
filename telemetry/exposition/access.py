"""``AccessMiddleware``: an ASGI application that lets through who may read, and no one else."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition.asgi import ASGIApp, Receive, Scope, Send
from telemetry.exposition.bearer import Tokens
from telemetry.metric import telemetry_metrics

__all__ = ["AccessMiddleware", "Network"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SCHEME = b"bearer "
_FORWARDED_FOR = b"x-forwarded-for"
_FORWARDED = (_FORWARDED_FOR, b"forwarded")
_REFUSALS = {
    "unauthorized": (401, b"unauthorized\n", [(b"www-authenticate", b"Bearer")]),
    "forbidden": (403, b"forbidden\n", []),
}


class AccessMiddleware:
    """Wraps an application, ``metrics_app`` for one. Without ``tokens`` and ``networks`` it is open.

    ``tokens``: one of them has to come as ``Authorization: Bearer``, in one header; else 401. ``networks``: where the client's
    address has to lie; else 403. The client is the peer of the connection. A request that says it was forwarded
    (``X-Forwarded-For``, ``Forwarded``) is refused unless its peer is one of ``proxies``; then the client is the last
    address of ``X-Forwarded-For`` that is no proxy. An IPv4 address mapped into IPv6 counts as the IPv4 address.

    The answers say no more than their status; ``diagnostics`` counts them as ``agentos.telemetry.refused_scrapes``. Which
    methods and paths there are is told only to those who may read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens | None = None,
        networks: Collection[Network] = (),
        proxies: Collection[Network] = (),
        diagnostics: Diagnostics | None = None,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._networks = tuple(networks)
        self._proxies = tuple(proxies)
        self._diagnostics = diagnostics or Diagnostics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 401 or 403, closes a WebSocket, or goes on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        reason = self._refusal(scope)
        if reason is not None:
            self._diagnostics.count(telemetry_metrics.REFUSED_SCRAPES.name, reason)
            await _refuse(scope, send, reason)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        if self._networks and not self._is_near(scope):
            return "forbidden"
        if self._tokens is not None and not self._tokens.accept(_bearer(scope)):
            return "unauthorized"
        return None

    def _is_near(self, scope: Scope) -> bool:
        client = self._client(scope)
        return client is not None and _lies_in(client, self._networks)

    def _client(self, scope: Scope) -> Address | None:
        """The address to judge by; ``None`` where there is none to believe."""
        peer = _address(scope["client"][0]) if scope.get("client") else None
        if peer is None or not any(name.lower() in _FORWARDED for name, _ in scope["headers"]):
            return peer
        if not _lies_in(peer, self._proxies):
            return None
        hops = b",".join(value for name, value in scope["headers"] if name.lower() == _FORWARDED_FOR)
        client = None
        for hop in reversed(hops.decode("latin-1").split(",")):
            client = _address(hop.strip())
            if client is None or not _lies_in(client, self._proxies):
                return client
        return client


def _bearer(scope: Scope) -> bytes:
    """The token that the request brings; empty, which no token is, where there is none or more than one header."""
    given: list[bytes] = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    if len(given) != 1 or given[0][: len(_SCHEME)].lower() != _SCHEME:
        return b""
    return given[0][len(_SCHEME) :].strip(b" ")


def _address(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return found.ipv4_mapped or IPv6Address(int(found))  # without the zone: a link-local address is what it is
    return found


def _lies_in(address: Address, networks: Collection[Network]) -> bool:
    return any(address in network for network in networks)


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before it was accepted: the server answers 403
        return
    status, body, headers = _REFUSALS[reason]
    plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*plain, length, *headers]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
