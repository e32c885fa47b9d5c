"""Request heads as text: bytes that are no text are replaced before any other code decodes them."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from telemetry._base.printable import printable

__all__ = ["RequestText"]

_log = logging.getLogger(__name__)

_PLAIN = re.compile(rb"[\t\x20-\x7e]*")
_PLAIN_TARGET = re.compile(rb"[\x21-\x7e]*")
_TARGET_SAFE = bytes(range(0x21, 0x7F))


class RequestText:
    """ASGI middleware whose application sees headers of printable UTF-8 and a target of printable ASCII.

    RFC 9110, section 5.5, lets a header's value have any byte above 0x7f and calls it opaque. The tracing's middleware
    decodes it all the same: as UTF-8, and else as Python's escapes, which raises for some bytes and makes lone surrogates of
    others. The former is a 500 for the client, the latter ends the export of the spans.

    Each character that is not printable, and each byte that is not UTF-8, becomes U+FFFD. It is replaced and not removed, so
    that no value becomes another valid one: a token or workspace id with such a byte stays invalid. In path and query such
    bytes are percent-encoded. That it happened is logged once.

    The header ``baggage`` is removed: nothing here reads it, and the SDK logs each entry of it that is malformed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._logged = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application with the text."""
        await self._app(self._text_of(scope) if scope["type"] in ("http", "websocket") else scope, receive, send)

    def _text_of(self, scope: Scope) -> Scope:
        given = [(name, value) for name, value in scope["headers"] if name != b"baggage"]
        headers = [(_text(name), _text(value)) for name, value in given]
        if headers != given and not self._logged:
            self._logged = True
            first = next(name for (name, value), text in zip(given, headers, strict=True) if text != (name, value))
            shown = printable(first.decode("latin-1"), 100)
            _log.warning("a request's header %s is no printable text: such bytes are replaced (logged once)", shown)
        changed: dict[str, Any] = {"headers": headers}
        for key in ("query_string", "raw_path"):
            if (target := scope.get(key)) and not _PLAIN_TARGET.fullmatch(target):
                changed[key] = quote(target, safe=_TARGET_SAFE).encode()
        if not scope["path"].isascii():
            changed["path"] = scope["path"].encode("utf-8", "replace").decode()
        return {**scope, **changed}


def _text(value: bytes) -> bytes:
    if _PLAIN.fullmatch(value):
        return value
    decoded = value.decode("utf-8", "replace")
    return "".join(one if one.isprintable() or one == "\t" else "\N{REPLACEMENT CHARACTER}" for one in decoded).encode()
