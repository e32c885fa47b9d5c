"""Paths as they are spelled: the one spelling that a proxy's rule names, and the paths that are neither limited nor traced."""

from __future__ import annotations

from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from starlette.types import ASGIApp, Receive, Scope, Send

from agents.api.problem import problem

__all__ = ["OPERATORS", "ExactPath"]

OPERATORS = frozenset({"/metrics", "/health/live", "/health/ready"})
"""The paths of scrapes and probes: no limit applies to them, and they have no spans."""


class ExactPath:
    """ASGI middleware: 404 for a path of another spelling than the service's own, and no spans for scrapes and probes.

    No path of the service needs percent-encoding, and none has control characters. Without this class ``/metrics%0a`` and
    ``/%6detrics`` reach ``/metrics``, past the rule of a proxy that compares the path as it was sent: the server decodes the
    path, and the router's patterns end in ``$``, which also matches before a last line break.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses the request, or calls the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif b"%" in (scope.get("raw_path") or b"") or not scope["path"].isprintable():
            await problem(404, "not_found", "Not Found")(scope, receive, send)
        elif scope["path"].removeprefix(scope.get("root_path", "")) in OPERATORS:
            with suppress_http_instrumentation():
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)
