"""What is left of the budgets of workspaces, over all processes that share a ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from telemetry._base.diagnostics import Diagnostics
from telemetry.agentos.budgets import Budget, BudgetFile, day_of, parse_budgets, seconds_of
from telemetry.agentos.ledger import Ledger
from telemetry.instruments.decimals import EXACT
from telemetry.metric import telemetry_metrics

__all__ = ["WorkspaceBudgets"]


class WorkspaceBudgets:
    """Counts what workspaces with a budget spend, and what is left of it in the period of now.

    Of a workspace without a budget nothing is kept. What it spent before it had one is not known, so that a budget which is
    added in the middle of a period counts from then on. A changed budget goes on with what was spent, also with another period.
    A removed one keeps what was spent for the rest of the month, in case it comes back; what is spent meanwhile is not counted.

    It may be made before a fork, and shared by threads. A child counts for itself: give all processes one ledger.

    Args:
        budgets: Workspace -> ``Budget``, or an object with ``USD`` and ``period``; or the path of a JSON file of such objects,
            which is read again when it changes.
        ledger: The SQLite file with what was spent, on a local file system; None: a temporary file of this process alone.
        diagnostics: Counts and logs failures; by default a log alone, and those of a telemetry after
            ``telemetry.recorder.workspaces.use``.
        clock: Unix time in seconds.
        patience: Seconds to wait for another process that writes to the ledger. A look waits no longer, and a scrape with it:
            workers have a second for each other.

    Raises:
        ValueError: The budgets cannot be used; the message says why.
    """

    def __init__(
        self,
        budgets: Mapping[str, Any] | Path,
        ledger: Path | None = None,
        *,
        diagnostics: Diagnostics | None = None,
        clock: Callable[[], float] = time.time,
        patience: float = 0.75,
    ) -> None:
        self._clock = clock
        self._patience = patience
        self._file = BudgetFile(budgets, self._report, clock) if isinstance(budgets, Path) else None
        self._given: Mapping[str, Budget] = {} if isinstance(budgets, Path) else parse_budgets(budgets)
        refresh = self._file.refresh if self._file is not None else lambda: None
        self._ledger = Ledger(ledger, diagnostics=diagnostics, clock=clock, patience=patience, on_wake=refresh)

    def report_to(self, diagnostics: Diagnostics) -> None:
        """Counts and logs failures there from now on."""
        self._ledger.diagnostics = diagnostics

    @property
    def budgets(self) -> Mapping[str, Budget]:
        """The budgets that hold now, by workspace. Those of a file are at most a second old once ``spend`` was called."""
        return self._given if self._file is None else self._file.budgets

    def spend(self, workspace: str, cost: Decimal) -> None:
        """Counts USD that a workspace has spent now. Does no I/O, and never raises."""
        if workspace in self.budgets:
            self._ledger.add(workspace, cost)
        elif self._file is not None:
            self._ledger.start()  # its thread reads the file

    def remaining(self) -> Mapping[str, Decimal]:
        """Returns what is left of each budget in its period, in USD: exact, and below 0 where more was spent.

        Saves what this process has spent before it reads the ledger, so call it from no event loop. Where the ledger cannot be
        read within ``patience`` seconds, it is what was read last, less what this process has spent since; nothing at all where
        the ledger was never read.
        """
        spent = self._ledger.spent(self._patience)
        budgets, today = self.budgets, day_of(self._clock())  # after the ledger's thread has read the file
        if spent is None:
            return {}
        left = {workspace: budget.amount for workspace, budget in budgets.items()}
        for (workspace, day), amount in spent.items():
            budget = budgets.get(workspace)
            if budget is not None and budget.period.first(today) <= day < budget.period.end(today):
                left[workspace] = EXACT.subtract(left[workspace], amount)
        return left

    def period_ends(self) -> Mapping[str, Decimal]:
        """Returns the end of each budget's period as Unix time: midnight UTC, at which the next one begins."""
        today: date = day_of(self._clock())
        return {workspace: Decimal(seconds_of(budget.period.end(today))) for workspace, budget in self.budgets.items()}

    def close(self, timeout: float = 2.0) -> None:
        """Saves what this process has spent, and ends its thread; at the process's end at the latest."""
        self._ledger.close(timeout)

    def _report(self, what: str, failed: bool) -> None:
        diagnostics = self._ledger.diagnostics
        if failed:
            diagnostics.count(telemetry_metrics.STATE_FAILURES.name, "unreadable")
        diagnostics.log_once(("budgets", what), "the file of budgets: %s", what)
