"""The AgentOS service as its own process, as an operator starts it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from stack.process import Server, free_port

__all__ = ["Service"]

ROOT = Path(__file__).parents[1]


class Service(Server):
    """``uvicorn agents.main:app`` or another ``app`` on a loopback port: this source tree, or what ``python`` has installed."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        name: str = "service",
        python: Path | None = None,
        app: str = "agents.main:app",
    ) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        command = [
            python or sys.executable,
            "-m",
            "uvicorn",
            app,
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        super().__init__(
            name,
            command,
            folder=folder,
            ready=f"{self.url}/health/ready",
            environment={"PYTHONPATH": "" if python else str(ROOT), **(environment or {})},
        )

    def metrics(self, accept: str = "text/plain") -> str:
        """One scrape."""
        answer = httpx.get(f"{self.url}/metrics", headers={"Accept": accept}, timeout=10)
        answer.raise_for_status()
        return answer.text

    def alive(self) -> dict[str, int]:
        """What lives in the process, where ``app`` is ``stack.watched:app``."""
        answer = httpx.get(f"{self.url}/-/alive", headers={"Connection": "close"}, timeout=30)
        counts: dict[str, int] = answer.raise_for_status().json()
        return counts

    def run(self, agent: str, text: str, *, operation: str = "query", workspace: str | None = None) -> httpx.Response:
        """One call of an agent."""
        headers = {} if workspace is None else {"X-Workspace-Id": workspace}
        body = {"input": text, "operation": operation}
        return httpx.post(f"{self.url}/agents/{agent}/runs", json=body, headers=headers, timeout=30)
