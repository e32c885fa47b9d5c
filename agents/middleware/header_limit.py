"""Limits the size of a request's target and headers before any other code handles it, tracing included."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from agents.api.problem import problem

__all__ = ["TARGET_LIMIT", "HeaderLimit"]

TARGET_LIMIT = 8_000
"""Bytes of path and query that are served. RFC 9110, section 4.1, recommends to support at least 8,000."""
_SEPARATORS = len(b": \r\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")  # an int64; servers other than uvicorn pass others on


class HeaderLimit:
    """ASGI middleware: 414 for a request target above ``TARGET_LIMIT``, 431 for more than ``limit`` bytes of headers,
    400 for a ``Content-Length`` that is no number of bytes.

    Each header counts with its name, its value and four bytes more, as HTTP/1.1 sends it. The body of a refused request is
    not read, so the connection is closed.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses the request or calls the application."""
        await (self._refusal(scope) or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if scope["type"] != "http":
            return None
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > TARGET_LIMIT:
            reason = f"path and query may have {TARGET_LIMIT} bytes"
            return problem(414, "target_too_long", reason, {"Connection": "close"})
        if sum(len(name) + len(value) + _SEPARATORS for name, value in scope["headers"]) > self._limit:
            reason = f"the headers of a request may have {self._limit} bytes"
            return problem(431, "headers_too_large", reason, {"Connection": "close"})
        if any(name == b"content-length" and not _LENGTH.fullmatch(value) for name, value in scope["headers"]):
            return problem(400, "bad_request", "Content-Length has to be a number of bytes", {"Connection": "close"})
        return None
