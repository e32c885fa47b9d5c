"""An ASGI application that records what it is asked to: ``uvicorn --workers 2 tests.helpers.recording_app:app``.

``/record/1.5,2`` records these values; each path but ``/metrics`` answers with the process id. Requests of one connection go to
one worker.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from telemetry import Telemetry
from telemetry.exposition import metrics_app
from telemetry.metric import Catalogue, Native, histogram
from telemetry.prefork import Workers

__all__ = ["BOTH", "SIZE", "app"]

SIZE = histogram("size", "By", "Size", native=Native(max_scale=8, max_size=40))
BOTH = histogram("both", "s", "Both", bounds=(1.0, 8.0), native=Native(max_scale=8, max_size=40))

telemetry = Telemetry(Catalogue([SIZE, BOTH]), workers=Workers(Path(os.environ["STATE_DIRECTORY"])))
metrics = metrics_app(telemetry.reader)


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Records, or answers a scrape."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/metrics":
        await metrics(scope, receive, send)
        return
    if scope["path"].startswith("/record/"):
        for value in scope["path"].removeprefix("/record/").split(","):
            telemetry[SIZE].observe(float(value))
            telemetry[BOTH].observe(float(value))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
