"""A worker of the service whose event loop is blocked for as long as a test likes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from stack.servers.process import until
from stack.servers.service import Service
from tests.helpers.blocking_app import PREFIX

__all__ = ["BLOCKING_APP", "blocked"]

BLOCKING_APP = "tests.helpers.blocking_app:app"
"""What the service must run."""


@contextmanager
def blocked(service: Service, pipe: Path) -> Iterator[Future[httpx.Response]]:
    """Blocks the loop of one worker within the block, in the read of a pipe.

    Yields:
        The answer of that worker, which comes after the block.
    """
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{service.url}{PREFIX}{pipe}", timeout=120)
        with os.fdopen(until("a reader", lambda: _writing_end(pipe)), "wb"):
            yield answer


def _writing_end(pipe: Path) -> int | None:
    """Opens the pipe for writing; None as long as no worker reads it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
