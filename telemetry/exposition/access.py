"""Who may read ``/metrics``: ``Access`` and ``AccessMiddleware``, by bearer token and by the client's network.

Tokens are kept as digests, compared in constant time, and read again from their file when it changes.
"""

from __future__ import annotations

import hmac
import os
import re
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Iterable
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.regular_file import read_regular_file
from telemetry.exposition.answer import Answer
from telemetry.exposition.asgi import ASGIApp, Receive, Scope, Send, send_answer
from telemetry.metric import telemetry_metrics

__all__ = [
    "Access",
    "AccessMiddleware",
    "Address",
    "Network",
    "Token",
    "TokenError",
    "TokenFile",
    "Tokens",
    "address_of",
    "bearer_token",
    "forwarded_client",
    "is_in",
    "read_tokens",
]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
RawHeader = tuple[bytes, bytes]

_SCHEME = b"bearer "
_FORWARDED_FOR = b"x-forwarded-for"
_FORWARDED = (_FORWARDED_FOR, b"forwarded")
_REFUSALS = {
    "unauthorized": Answer.plain(401, "unauthorized\n", cache_control="no-store", www_authenticate="Bearer"),
    "forbidden": Answer.plain(403, "forbidden\n", cache_control="no-store"),
}
_RULE = "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)"
# RFC 6750, section 2.1
_TOKEN = re.compile(r"(?=.{16,1024}\Z)[A-Za-z0-9._~+/-]+=*")
_MAX_FILE_BYTES = 1 << 16
_FRESH_SECONDS = 2.0
"""A file that changed less than this ago is read again even if it looks the same: its times may not tell two writes apart."""
_WHOLE_SECONDS = 1.0
_EMPTY_SECONDS = 30.0
_EMPTY = "the file holds no token"
_CLOSED = "no request is admitted by it"


class TokenError(ValueError):
    """Text that is not a valid token; the message never contains the text."""


class Token:
    """One secret. Only its digest is kept: no repr, error or heap dump can show the token itself.

    Raises:
        TokenError: ``text`` is not a valid token.
    """

    __slots__ = ("_digest",)

    def __init__(self, text: str) -> None:
        if not _TOKEN.fullmatch(text):
            raise TokenError(_RULE)
        self._digest = sha256(text.encode()).digest()

    def matches(self, digest: bytes) -> bool:
        """Whether ``digest`` is the token's SHA-256; compared in constant time."""
        return hmac.compare_digest(self._digest, digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and self.matches(other._digest)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return "<Token>"


class TokenFile:
    """Tokens from a file, one a line, which may be written while it is read.

    A change is taken when the file is whole: its last line has an end, another file has taken its place, or it has not changed
    for a second. Until then, and while the file is missing, cannot be read or holds a line that is no token, the tokens read
    before stay valid: a writer that empties the file first locks no client out. A file that has held no token for 30 seconds
    has none: all requests are refused.

    Args:
        path: The file.
        report: Called with a sentence when the file cannot be used, when the reason changes, and when it can be used again.
        clock: Unix time in seconds.
    """

    def __init__(self, path: Path, report: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._report = report
        self._clock = clock
        self._stamp: tuple[int, ...] | None = None
        self._seen = 0.0  # when the last change was seen
        self._content = b""  # the digest of what was read last
        self._taken = b""  # the digest of the content that the tokens are from
        self._file: tuple[int, int] | None = None  # its device and inode
        self._tokens: tuple[Token, ...] = ()
        self._settled = False  # whether the file need not be read until its stamp changes
        self._trouble: str | None = None
        self.tokens()  # so that there are tokens to keep when the file breaks before the first request

    def tokens(self) -> tuple[Token, ...]:
        """Returns the tokens that are valid now. Reads the file only where its status says that it has changed."""
        try:
            found = self._path.stat()
            stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if stamp != self._stamp:
                self._stamp, self._seen, self._settled = stamp, self._clock(), False
            if not self._settled:
                self._update(found)
        except (OSError, ValueError) as error:
            self._stamp = None
            self._keep(
                str(error) if isinstance(error, TokenError) else getattr(error, "strerror", None) or type(error).__name__
            )
        return self._tokens

    def _update(self, found: os.stat_result) -> None:
        """Reads the file and takes its tokens if it is whole. Raises ``OSError`` and ``TokenError``."""
        data = read_regular_file(self._path, _MAX_FILE_BYTES)
        content = sha256(data).digest()
        if content != self._content:  # the times of a file may not tell two writes apart
            self._content, self._seen = content, self._clock()
        tokens = _parse(data)
        unchanged = max(abs(self._clock() - self._seen), self._clock() - max(found.st_mtime, found.st_ctime))
        file = (found.st_dev, found.st_ino)
        known = self._file is None or content == self._taken  # the first content is taken as it is
        whole = known or data.endswith((b"\n", b"\r")) or file != self._file or unchanged >= _WHOLE_SECONDS
        if not (tokens or known or unchanged >= _EMPTY_SECONDS):
            self._keep(_EMPTY)
        elif not whole:
            self._keep("its last line has no end and may be half of one")
        else:
            self._tokens, self._taken, self._file = tokens, content, file
            self._settled = unchanged >= _FRESH_SECONDS
            self._tell(None if tokens else f"{_EMPTY}: {_CLOSED}")

    def _keep(self, reason: str) -> None:
        kept = f"the tokens read before ({len(self._tokens)}) stay valid" if self._tokens else _CLOSED
        self._tell(f"{reason}: {kept}")

    def _tell(self, trouble: str | None) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        self._report(trouble or f"it can be used again (tokens: {len(self._tokens)})")


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Returns the tokens in a file, one a line. Raises ``OSError`` and ``TokenError``.

    Empty lines and those that begin with ``#`` are skipped; line ends may be those of Windows, and a byte order mark may come
    first.
    """
    tokens = _parse(read_regular_file(path, _MAX_FILE_BYTES))
    if not tokens:
        raise TokenError(_EMPTY)
    return tokens


def _parse(data: bytes) -> tuple[Token, ...]:
    lines = [line.strip(b" \t") for line in re.split(rb"[\r\n]+", data.removeprefix(BOM_UTF8))]
    return tuple(Token(line.decode("ascii", "replace")) for line in lines if line and not line.startswith(b"#"))


class Tokens:
    """All valid tokens: the given ones and those of a file. A token is rotated while the old and the new one are valid."""

    def __init__(self, given: Iterable[Token] = (), file: TokenFile | None = None) -> None:
        self._given = tuple(given)
        self._file = file

    def accept(self, token: bytes) -> bool:
        """Whether ``token`` is valid. It is compared with all tokens, whichever matches."""
        digest = sha256(token).digest()
        accepted = False
        for valid in (*self._given, *(self._file.tokens() if self._file is not None else ())):
            accepted |= valid.matches(digest)
        return accepted


class Access:
    """Decides which clients may read. Without tokens and networks all may.

    The client is the peer of the connection. A forwarded request (``X-Forwarded-For``, ``Forwarded``) is refused unless
    its peer is one of ``proxies``; then the client is the last address of ``X-Forwarded-For`` that is not a proxy. An IPv4
    address mapped into IPv6 counts as the IPv4 address.

    Args:
        tokens: A request needs one of them as ``Authorization: Bearer`` in exactly one header, else it gets 401.
        networks: The client's address must be in one of them, else it gets 403.
        proxies: Peers whose ``X-Forwarded-For`` is believed.
        diagnostics: Counts refusals as ``agentos.telemetry.refused_scrapes``.

    Raises:
        ValueError: ``networks`` is given and empty.
    """

    def __init__(
        self,
        *,
        tokens: Tokens | None = None,
        networks: Collection[Network] | None = None,
        proxies: Collection[Network] = (),
        diagnostics: Diagnostics | None = None,
    ) -> None:
        if networks is not None and not networks:
            raise ValueError("networks is empty, so no client could read: leave it out to let clients of all networks read")
        self._tokens = tokens
        self._networks = tuple(networks or ())
        self._proxies = tuple(proxies)
        self._diagnostics = diagnostics or Diagnostics()

    def refusal(self, peer: str | None, headers: Collection[RawHeader]) -> Answer | None:
        """Returns the answer to a client that may not read, counted; None for one that may.

        Args:
            peer: The address of the connection's other end; None where it has none.
            headers: The request's headers, one pair a line.
        """
        reason = self._reason(peer, headers)
        if reason is None:
            return None
        self._diagnostics.count(telemetry_metrics.REFUSED_SCRAPES.name, reason)
        return _REFUSALS[reason]

    def _reason(self, peer: str | None, headers: Collection[RawHeader]) -> str | None:
        if self._networks:
            client = self._client(peer, headers)
            if client is None or not is_in(client, self._networks):
                return "forbidden"
        if self._tokens is not None and not self._tokens.accept(bearer_token(headers)):
            return "unauthorized"
        return None

    def _client(self, peer_text: str | None, headers: Collection[RawHeader]) -> Address | None:
        """The client's address; None where it is unknown or not credible."""
        peer = None if peer_text is None else address_of(peer_text)
        if peer is None or not any(name.lower() in _FORWARDED for name, _ in headers):
            return peer
        if not is_in(peer, self._proxies):
            return None
        return forwarded_client(headers, self._proxies)


class AccessMiddleware:
    """ASGI middleware that answers 401 or 403 to clients that may not read, by the rules of ``Access``.

    The answers give no reason beyond their status. Methods and paths are checked by the application behind, so that only
    clients that may read learn about them.

    Args:
        app: The application behind, for example ``metrics_app``.
        tokens: As ``networks``, ``proxies`` and ``diagnostics`` those of ``Access``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens | None = None,
        networks: Collection[Network] | None = None,
        proxies: Collection[Network] = (),
        diagnostics: Diagnostics | None = None,
    ) -> None:
        self._app = app
        self._access = Access(tokens=tokens, networks=networks, proxies=proxies, diagnostics=diagnostics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses the request, closes a WebSocket, or calls the application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else None
        refusal = self._access.refusal(peer, scope["headers"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403
        elif refusal is not None:
            await send_answer(send, refusal, scope["method"])
        else:
            await self._app(scope, receive, send)


def forwarded_client(headers: Iterable[RawHeader], proxies: Collection[Network]) -> Address | None:
    """The last address of ``X-Forwarded-For`` that is no proxy; None where that is no address, or the header is missing.

    Each proxy appends its peer, so what a client wrote itself stands before the address that the first proxy saw.
    """
    hops = b",".join(value for name, value in headers if name.lower() == _FORWARDED_FOR)
    client = None
    for hop in reversed(hops.decode("latin-1").split(",")):
        client = address_of(hop.strip(" \t"))
        if client is None or not is_in(client, proxies):
            return client
    return client


def bearer_token(headers: Collection[RawHeader]) -> bytes:
    """The request's token. Empty, which is never valid, without exactly one ``Authorization: Bearer`` header."""
    given = [value for name, value in headers if name.lower() == b"authorization"]
    if len(given) != 1 or given[0][: len(_SCHEME)].lower() != _SCHEME:
        return b""
    return given[0][len(_SCHEME) :].strip(b" ")


def address_of(text: str) -> Address | None:
    """The address that a text spells, without a zone; an IPv4 address mapped into IPv6 is the IPv4 address. None for others."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return found.ipv4_mapped or IPv6Address(int(found))  # without the zone, which no network contains
    return found


def is_in(address: Address, networks: Collection[Network]) -> bool:
    """Whether one of the networks contains the address."""
    return any(address in network for network in networks)
