"""The service with ``GET /-/alive``, which counts what lives in its process: ``uvicorn stack.instrumented_app:app``."""

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
    """Returns this process' memory in bytes and its numbers of memory blocks, tasks, threads, sockets and files."""
    gc.collect()
    kinds = [_what(entry) for entry in Path("/proc/self/fd").iterdir()]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "blocks": sys.getallocatedblocks(),  # the interpreter's own blocks: a leak adds to them, the allocator's noise does not
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "sockets": sum(kind.startswith("socket:") for kind in kinds),
        "files": sum(bool(kind) and not kind.startswith("socket:") for kind in kinds),
    }


def _what(descriptor: Path) -> str:
    """The target of a descriptor; empty for the descriptor of the listing itself, which is closed by now."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers ``/-/alive``, and hands every other request to the service."""
    if scope["type"] == "http" and scope["path"] == "/-/alive":
        await Response(json.dumps(alive()), media_type="application/json")(scope, receive, send)
    else:
        await service(scope, receive, send)
