"""Requests that break while they are served: the server has answered 400 already, and nobody hears the application."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AbortedResponse"]

_ANSWERED = re.compile(r"role=SERVER and state=(MUST_CLOSE|CLOSED|ERROR)\b")


class AbortedResponse:
    """ASGI middleware: what is sent after the server's own answer is dropped, as uvicorn drops it once a client is gone.

    When a body's framing is wrong in the very packet of its head, uvicorn answers 400 before the application runs, and h11
    then refuses the application's answer. Left alone, that is 80 lines of stack trace in the log for each such request, for
    whoever likes to fill a disk. Every other complaint of the server is about what we send, and goes on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Goes on in any case; after an answer that nobody hears it waits for the end of the connection, which is near."""
        unheard = False

        async def forgiving(message: Message) -> None:
            nonlocal unheard
            if unheard:
                return
            try:
                await send(message)
            except Exception as error:  # h11's LocalProtocolError; h11 is uvicorn's dependency, not ours
                if type(error).__name__ != "LocalProtocolError" or not _ANSWERED.search(str(error)):
                    raise
                unheard = True

        await self._app(scope, receive, forgiving if scope["type"] == "http" else send)
        while unheard and (await receive())["type"] != "http.disconnect":
            pass
