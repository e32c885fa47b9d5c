"""The service with ``/-/block/<path>``, which blocks the worker's event loop until the test writes into that pipe."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agents.main import app as service

__all__ = ["PREFIX", "app"]

PREFIX = "/-/block"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Blocks, or hands the request to the service."""
    if scope["type"] == "http" and scope["path"].startswith(PREFIX):
        # Returns when the other end of the pipe is closed.
        Path(scope["path"].removeprefix(PREFIX)).read_bytes()  # noqa: ASYNC240  # blocking the loop is what it is for
        await Response()(scope, receive, send)
    else:
        await service(scope, receive, send)
