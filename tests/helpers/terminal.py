"""Runs a program in a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Terminal", "running"]

ROOT = Path(__file__).parents[2]


class Terminal:
    """``python -m`` of one of the project's modules in a pseudo-terminal, and its output."""

    def __init__(self, module: str) -> None:
        self._main, child = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40", "CI": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=environment,
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
        )
        os.close(child)
        os.set_blocking(self._main, False)
        self.seen = ""

    def read(self) -> str:
        """Returns the whole output so far."""
        try:
            while more := os.read(self._main, 65536):
                self.seen += more.decode(errors="replace")
        except OSError:  # no output now, or the other side is closed
            pass
        return self.seen

    def ended(self) -> bool:
        """Whether the program has ended. Reads on, because the program blocks while the terminal's buffer is full."""
        self.read()
        return self.process.poll() is not None

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._main)


@contextmanager
def running(module: str) -> Iterator[Terminal]:
    """Runs the module; kills it at the end if it still runs."""
    terminal = Terminal(module)
    try:
        yield terminal
    finally:
        terminal.close()
