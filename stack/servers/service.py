"""The AgentOS service as its own process, as an operator starts it."""

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
    """``agents.main:app`` or another ``app`` on a loopback port, from this source tree or as ``python`` has it installed.

    ``server`` is the program that runs it, with its arguments; more ``workers`` than one are processes of their own.
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
        """The process ids of the workers that run now."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def metrics(self, accept: str = "text/plain") -> str:
        """One scrape."""
        answer = httpx.get(f"{self.url}/metrics", headers={"Accept": accept}, timeout=10)
        answer.raise_for_status()
        return answer.text

    def alive(self) -> dict[str, int]:
        """What lives in the process, where ``app`` is ``stack.instrumented_app:app``."""
        answer = httpx.get(f"{self.url}/-/alive", headers={"Connection": "close"}, timeout=30)
        counts: dict[str, int] = answer.raise_for_status().json()
        return counts

    def run(self, agent: str, text: str, *, operation: str = "query", workspace: str | None = None) -> httpx.Response:
        """One call of an agent."""
        headers = {} if workspace is None else {"X-Workspace-Id": workspace}
        body = {"input": text, "operation": operation}
        return httpx.post(f"{self.url}/agents/{agent}/runs", json=body, headers=headers, timeout=30)
