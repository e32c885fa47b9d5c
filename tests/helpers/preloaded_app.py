"""A program whose telemetry is made when it is imported: once, where ``gunicorn --preload`` forks its workers afterwards."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from telemetry import RUNTIME, Catalogue, Telemetry, runtime_metrics
from telemetry.exposition import metrics_app
from telemetry.prefork import Workers

__all__ = ["app"]

telemetry = Telemetry(Catalogue(RUNTIME), workers=Workers(Path(os.environ["STATE_DIRECTORY"])))
runtime = runtime_metrics(telemetry)
for _ in range(int(os.environ["COLLECTIONS"])):
    gc.collect()


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    with runtime.watch_loop():
        yield


async def _ready(_: object) -> PlainTextResponse:
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/health/ready", _ready), Route("/metrics", metrics_app(telemetry.reader))], lifespan=_lifespan)
