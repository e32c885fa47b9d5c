"""An agent of one's own that counts tokens, money and budgets by workspace, without the service.

``LEDGER=ledger.sqlite python examples/workspace_budgets.py`` answers each line of its input, "WORKSPACE QUESTION"; ``curl
localhost:9464/metrics`` meanwhile. A process that is started again with the same ledger goes on in the month, and several
processes with one ledger share the budgets.
"""

import os
import sys
from decimal import Decimal
from pathlib import Path

from telemetry import AGENTOS, AgentOSTelemetry, Catalogue
from telemetry.agentos import catalogue_workspaces
from telemetry.agentos.genai import Target
from telemetry.agentos.tokens import Tokens
from telemetry.agentos.workspace_budgets import WorkspaceBudgets
from telemetry.exposition import start_http_server

MODEL = Target("shouting", vendor="example", model="upper-1")
PRICE = {"input": Decimal("0.002"), "output": Decimal("0.01")}  # USD a token
BUDGETS = {"acme": {"USD": "0.50", "period": "month"}}

telemetry = AgentOSTelemetry(Catalogue([*AGENTOS, *catalogue_workspaces.ROWS]))
recorder = telemetry.recorder
budgets = WorkspaceBudgets(BUDGETS, Path(os.environ["LEDGER"]) if "LEDGER" in os.environ else None)
recorder.workspaces.use(budgets)


def answer(workspace: str, question: str) -> str:
    """Asks the model, whose tokens are words."""
    with recorder.model_attempt(MODEL, "question", 1, workspace=workspace) as attempt:
        said = question.upper()
        used = Tokens(len(question.split()), len(said.split()))
        attempt.used(used, sum((PRICE[kind] * count for kind, count in used.kinds.items()), Decimal(0)))
    return said


def main() -> None:
    """Reads until the input ends."""
    server = start_http_server(telemetry.reader, port=int(os.environ.get("PORT", "9464")))
    for line in sys.stdin:
        workspace, _, question = line.strip().partition(" ")
        sys.stdout.write(f"{answer(workspace, question)}\n")
        sys.stdout.flush()
    server.close()
    budgets.close()
    telemetry.shutdown()


if __name__ == "__main__":
    main()
