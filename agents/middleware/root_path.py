"""The path behind a proxy that serves the service under a prefix (``uvicorn --root-path``)."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["RootPath"]


class RootPath:
    """ASGI middleware that lets a proxy forward the prefix or strip it.

    uvicorn puts the root path before the path that it received. Where the proxy did not strip the prefix, the path then has
    it twice; this middleware removes one, so that routes, limits and tracing see the same path in both cases.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application with the path that has the prefix once."""
        prefix = scope.get("root_path", "").rstrip("/")
        if scope["type"] in ("http", "websocket") and prefix:
            path, raw = scope["path"], scope.get("raw_path")
            if f"{path}/".startswith(f"{prefix}{prefix}/"):
                path = path[len(prefix) :]
                raw = raw[len(prefix) :] if raw and raw.startswith(prefix.encode() * 2) else raw
            scope = {**scope, "root_path": prefix, "path": f"{prefix}/" if path == prefix else path, "raw_path": raw}
        await self._app(scope, receive, send)
