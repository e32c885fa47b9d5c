"""Starlette: times its only page, and serves /metrics as a route.

Start it with ``uvicorn starlette_app:app`` in this folder, or with ``python examples/starlette_app.py``.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from telemetry import Catalogue, RequestTimer, Telemetry
from telemetry.exposition import metrics_app
from telemetry.metric import closed_label, histogram

STATUS = closed_label("status", "how it ended", "success", "error")
PAGE = histogram("page.duration", "s", "Time a page takes", STATUS, bounds=(0.1, 0.5, 1, 5))

telemetry = Telemetry.from_environment(Catalogue([PAGE]), service_name="pages")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Pushes what is left when the server stops, where OTLP is configured."""
    yield
    telemetry.shutdown()


@RequestTimer(telemetry[PAGE])
async def page(_request: Request) -> PlainTextResponse:
    """Answers with one line."""
    return PlainTextResponse("hello\n")


app = Starlette(routes=[Route("/", page), Route("/metrics", metrics_app(telemetry.reader))], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
