"""The service with a window in it, for those who look for leaks: ``uvicorn stack.watched:app``, ``GET /-/alive``."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agents.main import app as service

__all__ = ["alive", "app"]


def alive() -> dict[str, int]:
    """What lives in this process: memory, tasks, threads, files and sockets."""
    gc.collect()
    kinds = [_what(entry) for entry in Path("/proc/self/fd").iterdir()]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "blocks": sys.getallocatedblocks(),  # objects and texts of the interpreter: what a leak adds to, without the noise
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "sockets": sum(kind.startswith("socket:") for kind in kinds),
        "files": sum(bool(kind) and not kind.startswith("socket:") for kind in kinds),
    }


def _what(descriptor: Path) -> str:
    """What it leads to; nothing for the one that the listing itself needed."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers ``/-/alive`` itself; all else is the service's."""
    if scope["type"] == "http" and scope["path"] == "/-/alive":
        await Response(json.dumps(alive()), media_type="application/json")(scope, receive, send)
    else:
        await service(scope, receive, send)
