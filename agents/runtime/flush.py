"""The end of the telemetry: what is still to be sent is sent, but nobody waits for that without end."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress

from telemetry import Telemetry

__all__ = ["flush_telemetry"]

_log = logging.getLogger(__name__)


async def flush_telemetry(telemetry: Telemetry, seconds: float) -> None:
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
