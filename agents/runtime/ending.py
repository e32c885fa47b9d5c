"""How the service ends: SIGTERM lets the requests under way end, the telemetry is handed over, the exit status is 0.

uvicorn by itself waits for requests without end, raises the signal again when all is done (an exit status of -15) and takes
a second SIGTERM for the first one.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from types import FrameType

import uvicorn

from telemetry import Telemetry

__all__ = ["end_on_sigterm", "hand_over"]

_log = logging.getLogger(__name__)


def end_on_sigterm(seconds: float) -> None:
    """From now on SIGTERM ends the uvicorn server of this process gracefully, and a second one the process at once.

    Requests get ``seconds`` to end, unless ``--timeout-graceful-shutdown`` says something else. A worker that is supervised
    takes every SIGTERM for the first: its supervisor sends one of its own beside that of whoever stops them all. Under
    another server nothing changes.
    """
    server = _server()
    if server is None:
        return
    if server.config.timeout_graceful_shutdown is None:
        # It is an int for the command line's sake; asyncio.wait_for takes it.
        server.config.timeout_graceful_shutdown = seconds  # type: ignore[assignment]

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True
        if not _is_supervised():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, end)


def _server() -> uvicorn.Server | None:
    """The server that listens to SIGTERM now."""
    if threading.current_thread() is not threading.main_thread():
        return None
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if isinstance(owner, uvicorn.Server) else None


def _is_supervised() -> bool:
    """Whether this is a worker of ``uvicorn --workers`` or of gunicorn."""
    return multiprocessing.parent_process() is not None or "gunicorn" in os.environ.get("SERVER_SOFTWARE", "")


async def hand_over(telemetry: Telemetry, seconds: float) -> None:
    """Shuts the telemetry down, which sends what is still to be sent, and waits no longer than ``seconds`` for that."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def shut_down() -> None:
        telemetry.shutdown(seconds * 1000)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, name="telemetry shutdown", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        _log.warning("the last spans and metrics could not be handed over within %g s", seconds)
