"""The AgentOS service as a process of its own, started as an operator starts it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from stack.servers.process import Server, free_port

__all__ = ["GUNICORN", "UVICORN", "Service"]

ROOT = Path(__file__).parents[2]

UVICORN = ("uvicorn", "--host", "127.0.0.1", "--port", "{port}")
GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--worker-class", "uvicorn_worker.UvicornWorker")


class Service(Server):
    """The service on a loopback port.

    Args:
        folder: Holds the log.
        environment: The settings.
        name: The name of the process and its log.
        python: An interpreter that has the service installed; this interpreter and source tree if it is None.
        app: The ASGI application.
        server: The module that serves the application, with its arguments.
        workers: Number of worker processes.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        name: str = "service",
        python: Path | None = None,
        app: str = "agents.main:app",
        server: Sequence[str] = UVICORN,
        workers: int = 1,
    ) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        words = [word.format(port=self.port) for word in server]
        several = [] if workers == 1 else ["--workers", str(workers)]
        super().__init__(
            name,
            [python or sys.executable, "-m", *words, *several, app],
            folder=folder,
            ready=f"{self.url}/health/ready",
            environment={"PYTHONPATH": "" if python else str(ROOT), **(environment or {})},
        )

    def workers(self) -> list[int]:
        """Returns the process ids of the running workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def metrics(self, accept: str = "text/plain") -> str:
        """Returns the body of one scrape."""
        answer = httpx.get(f"{self.url}/metrics", headers={"Accept": accept}, timeout=10)
        answer.raise_for_status()
        return answer.text

    def alive(self) -> dict[str, int]:
        """Returns the counts of ``/-/alive``; ``app`` must be ``stack.instrumented_app:app``."""
        answer = httpx.get(f"{self.url}/-/alive", headers={"Connection": "close"}, timeout=30)
        counts: dict[str, int] = answer.raise_for_status().json()
        return counts

    def run(self, agent: str, text: str, *, operation: str = "query", workspace: str | None = None) -> httpx.Response:
        """Calls an agent and returns the answer."""
        headers = {} if workspace is None else {"X-Workspace-Id": workspace}
        body = {"input": text, "operation": operation}
        return httpx.post(f"{self.url}/agents/{agent}/runs", json=body, headers=headers, timeout=30)
