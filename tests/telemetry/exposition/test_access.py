"""Access to /metrics: a table of requests, each with its answer."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Access, AccessMiddleware, Token, Tokens
from telemetry.exposition.asgi import ASGIApp, Receive, Scope, Send
from telemetry.metric import telemetry_metrics

OLD, NEW = "old-token-0123456789", "new-token-0123456789"
BODY = b"body"
Header = tuple[str, str]


async def application(scope: Scope, _: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": BODY})


def networks(*texts: str) -> list[Any]:
    return [ip_network(text) for text in texts]


async def ask(
    app: ASGIApp, *headers: Header, method: str = "GET", client: str | None = "192.0.2.1", kind: str = "http"
) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, body and headers of the answer; the status of a closed WebSocket is the code it is closed with."""
    messages: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        messages.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body of a refused request is not read")

    scope = {
        "type": kind,
        "method": method,
        "path": "/metrics",
        "query_string": b"",
        "client": None if client is None else (client, 1234),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    await app(scope, receive, send)
    if kind == "websocket":
        return messages[0]["code"], b"", {}
    sent = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], b"".join(message["body"] for message in messages[1:]), sent


def bearer(token: str) -> Header:
    return "authorization", f"Bearer {token}"


BY_TOKEN = [
    ("no token", [], 401),
    ("the old one", [bearer(OLD)], 200),
    ("the new one, while both hold", [bearer(NEW)], 200),
    ("a wrong one", [bearer("wrong-token-0123456789")], 401),
    ("an empty one", [bearer("")], 401),
    ("the scheme alone", [("authorization", "Bearer")], 401),
    ("a prefix", [bearer(OLD[:-1])], 401),
    ("one letter more", [bearer(OLD + "0")], 401),
    ("in capitals", [bearer(OLD.upper())], 401),
    ("both in one header", [bearer(f"{OLD},{NEW}")], 401),
    ("two headers, the first right", [bearer(OLD), bearer("wrong-token-0123456789")], 401),
    ("two headers, the second right", [bearer("wrong-token-0123456789"), bearer(OLD)], 401),
    ("the same header twice", [bearer(OLD), bearer(OLD)], 401),
    ("without a scheme", [("authorization", OLD)], 401),
    ("another scheme", [("authorization", f"Basic {OLD}")], 401),
    ("a scheme that begins like it", [("authorization", f"Bearerx {OLD}")], 401),
    ("the scheme in other letters", [("authorization", f"bEaReR {OLD}")], 200),
    ("more than one space", [("authorization", f"Bearer   {OLD}")], 200),
    ("a tab for the space", [("authorization", f"Bearer\t{OLD}")], 401),
    ("in another header", [("x-authorization", f"Bearer {OLD}")], 401),
    ("as a cookie", [("cookie", f"authorization=Bearer {OLD}")], 401),
    ("from a proxy's header", [("proxy-authorization", f"Bearer {OLD}")], 401),
    ("bytes that are no ASCII", [("authorization", "Bearer \xff\xfe")], 401),
    ("60,000 bytes", [bearer("x" * 60_000)], 401),
]


@pytest.mark.parametrize(("headers", "status"), [row[1:] for row in BY_TOKEN], ids=[row[0] for row in BY_TOKEN])
async def test_by_token(headers: list[Header], status: int) -> None:
    """Exactly one valid bearer token gets 200; every other request gets 401."""
    diagnostics = Diagnostics()
    access = AccessMiddleware(application, tokens=Tokens([Token(OLD), Token(NEW)]), diagnostics=diagnostics)
    assert (await ask(access, *headers))[0] == status
    assert diagnostics.values(telemetry_metrics.REFUSED_SCRAPES.name) == ({} if status == 200 else {("unauthorized",): 1})


NEAR = ("10.0.0.0/8", "2001:db8::/32", "127.0.0.1/32")
PROXIES = ("172.16.0.0/12", "2001:db8:ffff::1/128")
FOR = "x-forwarded-for"
BY_ADDRESS = [
    ("inside", "10.1.2.3", [], 200),
    ("outside", "192.0.2.1", [], 403),
    ("IPv6 inside", "2001:db8::7", [], 200),
    ("IPv6 outside", "2001:db9::7", [], 403),
    ("mapped inside", "::ffff:10.1.2.3", [], 200),
    ("mapped inside, in hex", "::ffff:a01:203", [], 200),
    ("mapped outside", "::ffff:192.0.2.1", [], 403),
    ("compatible is not mapped", "::10.1.2.3", [], 403),
    ("IPv6 loopback is not 127.0.0.1", "::1", [], 403),
    ("link-local with a zone", "fe80::1%eth0", [], 403),
    ("no address", None, [], 403),
    ("a name", "localhost", [], 403),
    ("forged by one outside", "192.0.2.1", [(FOR, "10.1.2.3")], 403),
    ("forged by one inside, who is no proxy", "10.1.2.3", [(FOR, "10.1.2.3")], 403),
    ("Forwarded, by no proxy", "10.1.2.3", [("forwarded", "for=10.1.2.3")], 403),
    ("a proxy itself", "172.16.0.1", [], 403),
    ("a proxy for one inside", "172.16.0.1", [(FOR, "10.1.2.3")], 200),
    ("a proxy for one outside", "172.16.0.1", [(FOR, "192.0.2.1")], 403),
    ("a proxy behind a mapped address", "::ffff:172.16.0.1", [(FOR, "10.1.2.3")], 200),
    ("an IPv6 proxy", "2001:db8:ffff::1", [(FOR, "10.1.2.3")], 200),
    ("one outside who forges the first hop", "172.16.0.1", [(FOR, "10.1.2.3, 192.0.2.1")], 403),
    ("two proxies", "172.16.0.1", [(FOR, "10.1.2.3, 172.16.0.2")], 200),
    ("two headers", "172.16.0.1", [(FOR, "192.0.2.1"), (FOR, "10.1.2.3")], 200),
    ("two headers, the last one counts", "172.16.0.1", [(FOR, "10.1.2.3"), (FOR, "192.0.2.1")], 403),
    ("an empty header", "172.16.0.1", [(FOR, "")], 403),
    ("a header without address", "172.16.0.1", [(FOR, "unknown")], 403),
    ("an address with a port", "172.16.0.1", [(FOR, "10.1.2.3:80")], 403),
    ("octal", "172.16.0.1", [(FOR, "012.1.2.3")], 403),
    ("a mapped hop", "172.16.0.1", [(FOR, "::ffff:10.1.2.3")], 200),
    ("Forwarded alone", "172.16.0.1", [("forwarded", "for=10.1.2.3")], 403),
    ("another header of the kind", "192.0.2.1", [("x-real-ip", "10.1.2.3")], 403),
]


@pytest.mark.parametrize(("client", "headers", "status"), [row[1:] for row in BY_ADDRESS], ids=[row[0] for row in BY_ADDRESS])
async def test_by_address(client: str | None, headers: list[Header], status: int) -> None:
    """A client outside the networks gets 403; only a configured proxy is believed about the client's address."""
    diagnostics = Diagnostics()
    access = AccessMiddleware(application, networks=networks(*NEAR), proxies=networks(*PROXIES), diagnostics=diagnostics)
    assert (await ask(access, *headers, client=client))[0] == status
    assert diagnostics.values(telemetry_metrics.REFUSED_SCRAPES.name) == ({} if status == 200 else {("forbidden",): 1})


async def test_open_by_default() -> None:
    """Without tokens and networks every request is answered, forwarded or not, also without a peer address."""
    assert await ask(AccessMiddleware(application), (FOR, "x"), client=None) == (200, BODY, {})


async def test_both_are_needed() -> None:
    """With networks and tokens the address is checked first, then the token."""
    access = AccessMiddleware(application, tokens=Tokens([Token(OLD)]), networks=networks("10.0.0.0/8"))
    statuses = [
        (await ask(access, *headers, client=client))[0]
        for client, headers in (("192.0.2.1", [bearer(OLD)]), ("10.0.0.1", []), ("10.0.0.1", [bearer(OLD)]))
    ]
    assert statuses == [403, 401, 200]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "x"])
async def test_methods(method: str) -> None:
    """Every method gets the same refusal, HEAD without a body."""
    status, body, _ = await ask(AccessMiddleware(application, tokens=Tokens([Token(OLD)])), method=method)
    assert (status, body) == (401, b"" if method == "HEAD" else b"unauthorized\n")


async def test_answers_say_nothing() -> None:
    """401 and 403 give no reason, and may not be cached."""
    plain = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}
    challenge = {**plain, "content-length": "13", "www-authenticate": "Bearer"}
    assert await ask(AccessMiddleware(application, tokens=Tokens([Token(OLD)]))) == (401, b"unauthorized\n", challenge)
    by_network = AccessMiddleware(application, networks=networks("10.0.0.0/8"))
    assert await ask(by_network) == (403, b"forbidden\n", {**plain, "content-length": "10"})


async def test_websocket() -> None:
    """A WebSocket is closed before it is accepted, also with a valid token."""
    access = AccessMiddleware(application, tokens=Tokens([Token(OLD)]))
    assert (await ask(access, kind="websocket"))[0] == 1008
    assert (await ask(access, bearer(OLD), kind="websocket"))[0] == 1008


async def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """``hmac.compare_digest`` is called once for each token, with digests of one length, whichever token matches."""
    seen: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        seen.append((len(a), len(b)))
        return compare(a, b)

    access = AccessMiddleware(application, tokens=Tokens([Token(OLD), Token(NEW)]))
    monkeypatch.setattr(hmac, "compare_digest", counting)
    for headers in ([bearer(OLD)], [bearer(NEW)], [bearer("x" * 5000)], []):
        seen.clear()
        await ask(access, *headers)
        assert seen == [(32, 32), (32, 32)]


def test_empty_list_of_networks_is_refused() -> None:
    """An empty list, which no client could be in, is an error instead of no restriction."""
    with pytest.raises(ValueError, match="networks is empty"):
        Access(networks=[])
