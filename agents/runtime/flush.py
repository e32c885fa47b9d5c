"""The end of the telemetry: a last export with a time limit."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress

from telemetry import Telemetry

__all__ = ["flush_telemetry"]

_log = logging.getLogger(__name__)


async def flush_telemetry(telemetry: Telemetry, seconds: float) -> None:
    """Shuts the telemetry down, which exports what is pending, and waits at most ``seconds`` for it.

    The shutdown runs in a daemon thread, so that an exporter that hangs does not keep the process.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def shut_down() -> None:
        telemetry.shutdown(seconds * 1000)
        with suppress(RuntimeError):  # the loop is closed: the wait below has timed out
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, name="telemetry shutdown", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        _log.warning("the last spans and metrics could not be handed over within %g s", seconds)
