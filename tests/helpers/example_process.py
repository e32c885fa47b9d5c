"""An example of ``examples/`` as a process of its own, started as its first lines say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from stack.servers.process import Server, free_port, until

__all__ = ["EXAMPLES", "Example", "clean_environment", "line_filter", "served"]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


class Example(Server):
    """A served example on a loopback port.

    Args:
        command: The command line after the interpreter; ``{port}`` is replaced.
        folder: Holds the log.
        environment: Variables beside ``PORT``.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            "example",
            [sys.executable, *(word.format(port=port) for word in command)],
            folder=folder,
            ready=lambda: _answers(f"{self.url}/metrics"),
            environment={**clean_environment(), "PORT": str(port), **environment},
        )

    def metrics(self, accept: str = "text/plain") -> list[str]:
        """Returns the sample lines of /metrics, asked for at exactly this path."""
        answer = httpx.get(f"{self.url}/metrics", headers={"accept": accept})
        assert answer.status_code == 200, answer
        return [line for line in answer.text.splitlines() if not line.startswith("#")]


@contextmanager
def served(*command: str, folder: Path, **environment: str) -> Iterator[Example]:
    """Yields the running example."""
    example = Example(command, folder, environment)
    try:
        yield example.start()
    finally:
        example.stop()


@contextmanager
def line_filter(name: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yields an example that answers each line of its input by one line, and the address of its /metrics."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    environment = {**os.environ, **clean_environment(), "PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, EXAMPLES / name], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        until("the example's port", lambda: _answers(url) or process.poll() is not None)
        assert process.poll() is None, "the example ended"
        yield process, url
        process.stdin.close()
        assert process.wait(20) == 0


def clean_environment() -> dict[str, str]:
    """Returns variables that let the example import this source tree, and nothing of OpenTelemetry's settings."""
    unset = {name: "" for name in os.environ if name.startswith("OTEL_")}
    return {**unset, "PYTHONPATH": f"{ROOT}{os.pathsep}{EXAMPLES}", "PYTHONWARNINGS": "error::DeprecationWarning:__main__"}


def _answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.HTTPError:
        return False
    return True
