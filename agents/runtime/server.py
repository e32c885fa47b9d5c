"""The uvicorn server that runs this process, as ``uvicorn agents.main:app`` starts it, and what the settings have it do."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import uvicorn

from agents.middleware.header_limit import TARGET_LIMIT
from telemetry.prefork import is_worker

__all__ = ["end_on_sigterm", "raise_h11_limit", "running_server"]


def running_server() -> uvicorn.Server | None:
    """The server that listens to this process's SIGTERM; ``None`` under another one, or in a thread of somebody's."""
    if threading.current_thread() is not threading.main_thread():
        return None
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if isinstance(owner, uvicorn.Server) else None


def raise_h11_limit(server: uvicorn.Server, limit: int) -> None:
    """Lets heads that are somewhat too large come as far as ``HeaderLimit``, which says what is wrong with them.

    Larger ones are a bare 400 of uvicorn's, as soon as that much has come. What ``--h11-max-incomplete-event-size`` says goes
    first.
    """
    if server.config.h11_max_incomplete_event_size is None:
        server.config.h11_max_incomplete_event_size = 2 * limit + TARGET_LIMIT


def end_on_sigterm(server: uvicorn.Server, seconds: float) -> None:
    """From now on SIGTERM ends the server gracefully and the process with status 0, and a second one ends it at once.

    uvicorn by itself waits for requests without end, raises the signal again when all is done (a status of -15) and takes a
    second SIGTERM for the first. Requests get ``seconds`` to end, unless ``--timeout-graceful-shutdown`` says something else.
    A worker that is supervised takes every SIGTERM for the first: its supervisor sends one of its own beside that of whoever
    stops them all.
    """
    if server.config.timeout_graceful_shutdown is None:
        # It is an int for the command line's sake; asyncio.wait_for takes it.
        server.config.timeout_graceful_shutdown = seconds  # type: ignore[assignment]

    supervised = is_worker()

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True
        if not supervised:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, end)
