"""``GET /metrics``: neither limited nor traced, and open to the clients that the settings allow."""

from __future__ import annotations

import logging
from pathlib import Path

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agents.settings import Settings
from agents.settings.access import Listen
from telemetry import Telemetry
from telemetry.exposition import AccessMiddleware, TokenFile, Tokens, metrics_app

__all__ = ["metrics_route"]

_log = logging.getLogger(__name__)


class _Metrics:
    """Wraps the exposition's application in an object: a route would take a plain function for a request handler."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def metrics_route(telemetry: Telemetry, settings: Settings) -> Route:
    """Returns the route of the telemetry's reader. Methods and formats are those of the exposition."""
    on_socket_file = bool(settings.metrics_listen) and Listen.of(settings.metrics_listen).path
    guard = AccessMiddleware(
        metrics_app(telemetry.reader, max_concurrent_scrapes=settings.max_concurrent_scrapes),
        tokens=_tokens(settings),
        networks=None if on_socket_file else settings.metrics_networks or None,  # access to the file is by its mode
        proxies=settings.metrics_proxies,
        diagnostics=telemetry.diagnostics,
    )
    return Route("/metrics", _Metrics(guard), include_in_schema=False)


def _tokens(settings: Settings) -> Tokens | None:
    if not settings.metrics_tokens and not settings.metrics_token_file:
        return None

    def log(what: str) -> None:
        _log.warning("the file of AGENTOS_METRICS_TOKEN_FILE: %s", what)

    file = TokenFile(Path(settings.metrics_token_file), log) if settings.metrics_token_file else None
    return Tokens(settings.metrics_tokens, file)
