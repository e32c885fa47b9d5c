"""Settings of the uvicorn server that runs this process, as ``uvicorn agents.main:app`` starts it."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from agents.middleware.header_limit import TARGET_LIMIT
from telemetry.prefork import is_worker

__all__ = ["end_on_sigterm", "end_with_failure", "raise_h11_limit", "running_server"]

_ANSWER_SECONDS = 0.1
"""What the answer to the present request has to be sent before the process ends."""


def running_server() -> uvicorn.Server | None:
    """Returns the uvicorn server that handles SIGTERM here; ``None`` under another server, or outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if isinstance(owner, uvicorn.Server) else None


def raise_h11_limit(server: uvicorn.Server, limit: int) -> None:
    """Makes uvicorn accept heads somewhat above the limit, so that ``HeaderLimit`` can answer what is wrong with them.

    uvicorn answers larger heads with a bare 400 as soon as that many bytes have come. The command line's
    ``--h11-max-incomplete-event-size`` takes precedence.
    """
    if server.config.h11_max_incomplete_event_size is None:
        server.config.h11_max_incomplete_event_size = 2 * limit + TARGET_LIMIT


def end_on_sigterm(server: uvicorn.Server, seconds: float) -> None:
    """Makes SIGTERM end the server gracefully and the process with status 0, and a second SIGTERM end it at once.

    By itself uvicorn waits for requests without limit, raises the signal again at the end (a status of -15) and treats a
    second SIGTERM as the first. A supervised worker treats every SIGTERM as the first: its supervisor sends one beside the
    one that a service manager sends to all processes.

    Args:
        seconds: What running requests have to end. The command line's ``--timeout-graceful-shutdown`` takes precedence.
    """
    if server.config.timeout_graceful_shutdown is None:
        # Annotated as int for the command line; asyncio.wait_for takes a float.
        server.config.timeout_graceful_shutdown = seconds  # type: ignore[assignment]

    supervised = is_worker()

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True
        if not supervised:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, end)


def end_with_failure() -> None:
    """Ends the process of a uvicorn server with the status of a start that failed; under another server does nothing.

    Supervisors (uvicorn's and gunicorn's) do not replace a worker that ends with this status.
    """
    if running_server() is not None:
        asyncio.get_running_loop().call_later(_ANSWER_SECONDS, sys.exit, STARTUP_FAILURE)
