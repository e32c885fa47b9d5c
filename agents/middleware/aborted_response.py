"""Responses to requests that the server has answered with 400 already."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AbortedResponse"]

_ANSWERED = re.compile(r"role=SERVER and state=(MUST_CLOSE|CLOSED|ERROR)\b")


class AbortedResponse:
    """ASGI middleware that drops the application's answer after the server's own, as uvicorn does for a client that is gone.

    When a body's framing is wrong in the same packet as its head, uvicorn answers 400 before the application runs, and h11
    then refuses the application's answer. Without this class each such request writes 80 lines of stack trace to the log,
    which lets a client fill the disk. All other errors of h11 are about the application's own messages, and are raised.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application. After a dropped answer it waits for the connection's end, which follows at once."""
        dropped = False

        async def send_or_drop(message: Message) -> None:
            nonlocal dropped
            if dropped:
                return
            try:
                await send(message)
            except Exception as error:  # h11's LocalProtocolError; h11 is uvicorn's dependency, not ours
                if type(error).__name__ != "LocalProtocolError" or not _ANSWERED.search(str(error)):
                    raise
                dropped = True

        await self._app(scope, receive, send_or_drop if scope["type"] == "http" else send)
        while dropped and (await receive())["type"] != "http.disconnect":
            pass
