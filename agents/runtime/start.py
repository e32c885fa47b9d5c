"""The start of the service: whatever fails in it is told in one sentence, which holds no part of a secret.

A server that gets a stack trace prints it, and one that gets an exception before the lifespan has answered may serve on. So the
lifespan answers ``startup.failed`` with the sentence, and the exception goes to the server only afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import NoReturn

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.api.problem import problem
from agents.settings import SettingsError
from telemetry._base.otel_settings import ExportSettingsError
from telemetry._base.printable import printable

__all__ = ["StartError", "refuse_lifespan", "run_lifespan", "sentence", "unstarted"]

_log = logging.getLogger(__name__)

_LONGEST = 1000
"""Characters of a sentence."""
_OURS = ("agents.", "telemetry.")


class StartError(RuntimeError):
    """The service cannot be started, or not again; the message is one sentence that says why."""


def sentence(error: BaseException, failed: str = "The service could not be started") -> str:
    """Returns the sentence of an error: its own where it is one of ours, else its class and where it was raised.

    The text of other errors is left out: it may hold a URL with a password. Of an ``OSError`` the system's reason is kept.
    """
    if isinstance(error, SettingsError | ExportSettingsError | StartError):
        return printable(error, _LONGEST)
    if isinstance(error, BaseExceptionGroup):
        return sentence(error.exceptions[0], failed)
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return printable(f"{failed}: {type(error).__name__}{reason}{_place(error.__traceback__)}.", _LONGEST)


def _place(trace: TracebackType | None) -> str:
    """Names the innermost line of ours, or nothing where none is ours."""
    place = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.startswith(_OURS) and module != __name__:
            place = f" in {module}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


async def run_lifespan(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Runs the app's lifespan; one that cannot be opened or closed is answered with a sentence in place of a stack trace.

    The exception is raised afterwards: test clients show it, and servers that have got the answer drop it. At the level debug
    the log has the stack trace.
    """
    begun = False

    async def answer(message: Message) -> None:
        nonlocal begun
        if message["type"].endswith(".failed"):
            return  # its text is a stack trace; the exception follows
        begun = message["type"] == "lifespan.startup.complete"
        await send(message)

    try:
        await app(scope, receive, answer)
    except (Exception, asyncio.CancelledError) as error:
        _log.debug("the lifespan failed", exc_info=error)
        if begun:
            failed = sentence(error, "The service did not stop in order")
            await send({"type": "lifespan.shutdown.failed", "message": failed})
        else:
            await send({"type": "lifespan.startup.failed", "message": sentence(error)})
        raise


async def refuse_lifespan(error: Exception, receive: Receive, send: Send) -> NoReturn:
    """Answers a lifespan for which no app could be built, then raises the error."""
    _log.debug("the service could not be built", exc_info=error)
    await receive()
    await send({"type": "lifespan.startup.failed", "message": sentence(error)})
    raise error


async def unstarted(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request to a service that could not be started with 503, without the reason: the log has it."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013})  # before it is accepted: the server answers 403
        return
    await problem(503, "not_started", "the service could not be started; its log has the reason")(scope, receive, send)
