"""Bearer tokens: kept as digests, compared in constant time, read again from their file when it changes."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

__all__ = ["Token", "TokenError", "TokenFile", "Tokens", "read_tokens"]

_RULE = "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)"
# RFC 6750, section 2.1
_TOKEN = re.compile(r"(?=.{16,1024}\Z)[A-Za-z0-9._~+/-]+=*")
_MOST_READ = 1 << 16
_FRESH_SECONDS = 2.0
"""A file written so lately is read again even if it looks the same: its time may not tell two writes apart."""


class TokenError(ValueError):
    """Text that is no token; the message never holds it."""


class Token:
    """One secret. Only its digest is kept: no repr, error or dump of memory's objects can show the token itself."""

    __slots__ = ("_digest",)

    def __init__(self, text: str) -> None:
        if not _TOKEN.fullmatch(text):
            raise TokenError(_RULE)
        self._digest = sha256(text.encode()).digest()

    def matches(self, digest: bytes) -> bool:
        """Whether this is the SHA-256 of the token. Takes the same time whatever differs."""
        return hmac.compare_digest(self._digest, digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and self.matches(other._digest)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return "<Token>"


class TokenFile:
    """Tokens from a file, one a line. A file that cannot be used holds none: nobody gets in until it is mended."""

    def __init__(self, path: Path, tell: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._tell = tell
        self._clock = clock
        self._stamp: tuple[int, ...] | None = None
        self._tokens: tuple[Token, ...] = ()

    def tokens(self) -> tuple[Token, ...]:
        """The tokens that the file holds now. What is wrong with it is told once for each change."""
        try:
            found = self._path.stat()
            stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if stamp != self._stamp or abs(self._clock() - found.st_mtime) < _FRESH_SECONDS:
                self._tokens = read_tokens(self._path)
            self._stamp = stamp
        except (OSError, TokenError) as error:
            self._tokens, self._stamp = (), None
            self._tell(f"{type(error).__name__}" if isinstance(error, OSError) else str(error))
        return self._tokens


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens in a file, one a line; empty lines do not count. Raises ``OSError`` and ``TokenError``."""
    with path.open("rb") as file:
        data = file.read(_MOST_READ + 1)
    if len(data) > _MOST_READ:
        raise TokenError(f"a file of tokens has at most {_MOST_READ} bytes")
    lines = data.decode("ascii", "replace").splitlines()
    tokens = tuple(Token(line.strip()) for line in lines if line.strip())
    if not tokens:
        raise TokenError("the file holds no token")
    return tokens


class Tokens:
    """All tokens that are valid now: given ones and those of a file, so that one can be rotated while both work."""

    def __init__(self, given: Iterable[Token] = (), file: TokenFile | None = None) -> None:
        self._given = tuple(given)
        self._file = file

    def accept(self, token: bytes) -> bool:
        """Whether it is one of them. All are compared, whichever matches."""
        digest = sha256(token).digest()
        accepted = False
        for one in (*self._given, *(self._file.tokens() if self._file is not None else ())):
            accepted |= one.matches(digest)
        return accepted
