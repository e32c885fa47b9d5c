"""``python -m demo``: starts the service and a load, and shows ``/metrics`` live; Ctrl-C stops both."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
from rich.console import Console
from rich.live import Live

from demo import load
from demo.board import board
from demo.reading import History, Scrape
from stack.servers.process import ServerError
from stack.servers.service import Service

BOUNDED_SECONDS = 20.0
SCRAPE_SECONDS = 0.5
IN_A_BROWSER = (
    "In a browser: `docker compose up --build` draws the same as dashboards at http://localhost:3000 and as traces at "
    "http://localhost:16686; without Docker, `make stack` runs Prometheus and Jaeger on this machine and says where."
)


def main() -> int:
    """Runs until Ctrl-C, or for 20 seconds with CI=true or without a terminal.

    Returns:
        0, or 1 if the service fails.
    """
    arguments = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    arguments.add_argument("--seconds", type=float, help="end after this many seconds (default: with Ctrl-C)")
    seconds: float | None = arguments.parse_args().seconds
    if seconds is None and (os.environ.get("CI") == "true" or not sys.stdout.isatty()):
        seconds = BOUNDED_SECONDS
    console = Console()
    status = 0
    with tempfile.TemporaryDirectory(prefix="agentos-demo-") as folder:
        try:
            with Service(Path(folder), load.SERVICE_SETTINGS) as service:
                asyncio.run(_show(service, console, seconds))
        except* (ServerError, httpx.HTTPError) as errors:
            status = 1
            console.print(f"the demo could not go on: {errors.exceptions[0]}", style="red")
    return status


async def _show(service: Service, console: Console, seconds: float | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    history = History()
    ends = "Ctrl-C stops it" if seconds is None else f"for {seconds:.0f} s"
    title = f"AgentOS at {service.url}/metrics, {ends}"
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run(service.url, stop))
        if seconds is None:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                async for _ in _scrapes(service.url, history, stop):
                    live.update(board(history, title), refresh=True)
        else:
            console.print(title)
            async for _ in _scrapes(service.url, history, stop):
                pass
    elapsed = history.last.at - history.scrapes[0].at
    console.print(board(history, f"AgentOS after {elapsed:.0f} s"))
    console.print(IN_A_BROWSER, style="dim", highlight=False)


async def _scrapes(url: str, history: History, stop: asyncio.Event) -> AsyncIterator[Scrape]:
    """Yields a scrape twice a second, and one more at the end."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        while True:
            last = stop.is_set()
            answer = (await client.get("/metrics")).raise_for_status()
            scrape = Scrape.parse(time.monotonic(), answer.text)
            history.add(scrape)
            yield scrape
            if last:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SCRAPE_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
