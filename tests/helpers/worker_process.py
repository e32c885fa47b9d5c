"""A worker in a process of its own that reads one command a line, and the test's end of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.helpers.command_process import CommandProcess

__all__ = ["WorkerProcess"]


class WorkerProcess(CommandProcess):
    """Starts a worker whose supervisor is this process; sends it commands."""

    def __init__(self, folder: Path, *, save_every: float = 3600.0, timeout: float = 5.0) -> None:
        super().__init__(__file__, folder, save_every, timeout, os.getpid())

    def tell(self, *words: object) -> str:
        """Sends a command and returns the answer."""
        self._send(*words)
        return self._line()

    def hits(self) -> dict[str, float]:
        """Scrapes the worker and returns ``hits_total`` by ``who``."""
        pairs = (pair.split("=") for pair in self.tell("scrape").split())
        return {who: float(value) for who, value in pairs}

    def signal(self, number: signal.Signals) -> None:
        """Sends the process a signal."""
        self._process.send_signal(number)


def main() -> None:
    from telemetry import Telemetry
    from telemetry.prefork import Supervisor, Workers
    from tests.helpers.samples import above_zero
    from tests.helpers.workers import HITS, catalogue

    folder, save_every, timeout, supervisor = sys.argv[1:]
    workers = Workers(
        Path(folder), supervisor=Supervisor.of(int(supervisor)), save_every=float(save_every), timeout=float(timeout)
    )
    telemetry = Telemetry(catalogue(), workers=workers)
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["hit", who, count]:
                telemetry[HITS].labels(who).inc(int(count))
                print("done", flush=True)
            case ["scrape"]:
                found = above_zero(telemetry, "hits_total")
                print(" ".join(f"{labels[0][1]}={value:g}" for (_, labels), value in found.items()), flush=True)
            case ["fork"]:
                if (child := os.fork()) == 0:
                    telemetry[HITS].labels("x").inc(100)
                    telemetry.shutdown()
                    os._exit(0)
                os.waitpid(child, 0)
                print("done", flush=True)
            case ["slot"]:
                print(workers.slot(), flush=True)
            case ["slot_of_fork"]:
                if (child := os.fork()) == 0:
                    os._exit(workers.slot() or 0)
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
