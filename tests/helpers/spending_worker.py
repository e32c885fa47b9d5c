"""A worker in a process of its own that records random usages of workspaces with budgets, and the test's end of it."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.helpers.command_process import CommandProcess

__all__ = ["BUDGETS", "SpendingWorker", "usages"]

BUDGETS = {f"w{number}": {"USD": "100000.00", "period": "month"} for number in range(20)}
"""Of the 40 workspaces that are used half have a budget."""


def usages(seed: int, count: int) -> Iterator[tuple[str, dict[str, int], Decimal]]:
    """Yields random usages: a workspace, its tokens by kind, and their cost with 9 to 15 digits behind the point."""
    chance = random.Random(seed)
    for _ in range(count):
        kinds = {
            kind: chance.randrange(1, 5000) for kind in ("input", "cached", "output", "reasoning") if chance.random() < 0.8
        }
        yield f"w{chance.randrange(40)}", kinds, Decimal(chance.randrange(10**10)).scaleb(-chance.randrange(9, 16))


class SpendingWorker(CommandProcess):
    """Starts a worker of the run whose supervisor is this process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(__file__, folder, os.getpid())

    def ask(self, *words: object) -> None:
        """Sends a command."""
        self._send(*words)

    def answer(self) -> Any:
        """Waits for the answer."""
        return json.loads(self._line())


def main(folder: Path, supervisor: int) -> None:
    """Serves the commands: ``spend SEED COUNT`` and ``scrape``."""
    from telemetry import AgentOSTelemetry
    from telemetry.agentos import catalogue_workspaces
    from telemetry.agentos.catalogue import AGENTOS
    from telemetry.agentos.workspace_budgets import WorkspaceBudgets
    from telemetry.metric import Catalogue
    from telemetry.prefork import Workers
    from telemetry.prefork.run import Supervisor
    from tests.helpers.samples import read

    workers = Workers(folder / "state", supervisor=Supervisor.of(supervisor), save_every=3600.0, timeout=30.0)
    telemetry = AgentOSTelemetry(Catalogue([*AGENTOS, *catalogue_workspaces.ROWS]), workers=workers)
    workspaces = telemetry.recorder.workspaces
    workspaces.use(WorkspaceBudgets(BUDGETS, folder / "ledger", patience=30.0))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        if line.startswith("spend"):
            seed, count = map(int, line.split()[1:])
            for workspace, kinds, cost in usages(seed, count):
                workspaces.record_usage(workspace, kinds, cost, complete=True)
            print(json.dumps("done"), flush=True)
        else:
            samples: list[Any] = [[name, dict(labels), value] for (name, labels), value in read(telemetry).items()]
            print(json.dumps([each for each in samples if each[0].startswith(("workspace_", "agentos_telemetry"))]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
