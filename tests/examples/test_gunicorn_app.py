"""The example for gunicorn."""

from __future__ import annotations

from pathlib import Path

import httpx

from stack.servers.process import until
from tests.helpers.example_process import served

COMMAND = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2")
WORKER = ("--worker-class", "uvicorn_worker.UvicornWorker", "gunicorn_app:app")


def test_any_worker_shows_the_totals_of_all(tmp_path: Path) -> None:
    """Once both workers have taken orders, each of ten scrapes shows all of them, and that there are two workers."""
    with served(*COMMAND, *WORKER, folder=tmp_path, XDG_RUNTIME_DIR=str(tmp_path)) as example:
        workers: list[int] = []

        def both() -> bool:
            workers.append(httpx.post(f"{example.url}/shops/north/orders").json()["worker"])
            return len(set(workers)) == 2

        until("orders taken by both workers", both)
        shown = [example.metrics() for _ in range(10)]
    assert all(f'orders_total{{shop="north"}} {len(workers)}' in lines for lines in shown)
    assert all("process_workers 2" in lines for lines in shown)
