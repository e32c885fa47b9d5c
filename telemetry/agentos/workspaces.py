"""What the workspaces use: tokens by kind, money by the operator's prices, and what is left of their budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from telemetry.agentos import catalogue_workspaces as rows
from telemetry.agentos.catalogue import WORKSPACE
from telemetry.agentos.catalogue_models import TOKEN_DIRECTION, TOKEN_KIND
from telemetry.agentos.series import OVERFLOW, NullInstrument, SeriesCache
from telemetry.instruments.bound import BoundInstrument
from telemetry.instruments.decimals import EXACT, ObservableValues
from telemetry.metric import Metric, ObservableKind

if TYPE_CHECKING:
    from telemetry.agentos.workspace_budgets import WorkspaceBudgets

__all__ = ["WorkspaceMetrics"]


@dataclass(slots=True)
class _Series:
    """The series of one workspace."""

    tokens: Mapping[str, BoundInstrument | NullInstrument]
    estimated: Mapping[str, BoundInstrument | NullInstrument]
    unpriced: BoundInstrument | NullInstrument


class WorkspaceMetrics:
    """Records tokens and cost by workspace, where the telemetry's catalogue has the rows.

    The series of a workspace are found in one look-up; those of all workspaces over the label's limit are one entry.
    """

    def __init__(self, cache: SeriesCache) -> None:
        self._cache = cache
        self.is_recorded = cache.has(rows.WORKSPACE_TOKENS)
        """Whether the telemetry's catalogue has the rows."""
        self._costs = ObservableValues(cache.telemetry[rows.WORKSPACE_COST]) if cache.has(rows.WORKSPACE_COST) else None
        self._domain = cache.telemetry.domains.of(WORKSPACE)
        self._series: dict[object, _Series] = {}
        self._budgets: WorkspaceBudgets | None = None

    def use(self, budgets: WorkspaceBudgets) -> None:
        """Counts costs in these budgets, and shows them, in place of those of an earlier call.

        Their failures are counted in this telemetry. Budgets of workspaces over the label's limit are shown together, as
        ``other``: the sums of their money, and the end of the period that ends first.
        """
        budgets.report_to(self._cache.telemetry.diagnostics)
        is_first = self._budgets is None
        self._budgets = budgets
        if is_first:
            self._watch(rows.WORKSPACE_BUDGET, lambda of: {name: one.amount for name, one in of.budgets.items()}, EXACT.add)
            self._watch(rows.WORKSPACE_BUDGET_REMAINING, lambda of: of.remaining(), EXACT.add)
            self._watch(rows.WORKSPACE_PERIOD_END, lambda of: of.period_ends(), min)

    def start(self, workspace: str, *, has_price: bool = False) -> None:
        """Starts the counters of a workspace at 0, where it has none.

        Args:
            workspace: Id of the workspace.
            has_price: Whether its cost starts, too: a cost of 0 says that there are prices.
        """
        if self.is_recorded:
            self._of(workspace)
        if has_price and self._costs is not None:
            self._costs.add(0, workspace)

    def record_usage(self, workspace: str, kinds: Mapping[str, int], cost: Decimal | None, *, complete: bool) -> None:
        """Adds what one model call used, and what it cost.

        Args:
            workspace: Id of the workspace.
            kinds: Tokens by kind, each token once.
            cost: Cost in USD by the operator's prices; None where no price is known.
            complete: Whether the provider's report is complete, so that the cost is the whole one.
        """
        if cost is not None and self._budgets is not None:
            self._budgets.spend(workspace, cost)
        if not self.is_recorded:
            return
        series = self._of(workspace)
        for kind, count in kinds.items():
            known = series.tokens.get(kind)
            one = self._cache.series(rows.WORKSPACE_TOKENS, workspace, kind) if known is None else known
            one.record_with_exemplar(count, None)
        if cost is not None and self._costs is not None:
            self._costs.add(cost, workspace)
        if cost is None or not complete:
            series.unpriced.record_with_exemplar(1, None)

    def record_estimate(self, workspace: str, input_tokens: int, output_tokens: int) -> None:
        """Adds the estimated tokens of a call that was cancelled before its provider reported them."""
        if self.is_recorded:
            estimated = self._of(workspace).estimated
            estimated["input"].record_with_exemplar(input_tokens, None)
            estimated["output"].record_with_exemplar(output_tokens, None)

    def _of(self, workspace: str) -> _Series:
        key: object = OVERFLOW if self._domain.overflows(workspace) else workspace
        try:
            found = self._series.get(key)
        except TypeError:  # an id that cannot be hashed is invalid, and nothing is kept for it
            found = None
        if found is not None:
            return found
        cache = self._cache
        new = _Series(
            tokens={kind: cache.series(rows.WORKSPACE_TOKENS, workspace, kind) for kind in TOKEN_KIND.values},
            estimated={way: cache.series(rows.WORKSPACE_ESTIMATED_TOKENS, workspace, way) for way in TOKEN_DIRECTION.values},
            unpriced=cache.series(rows.WORKSPACE_UNPRICED, workspace),
        )
        for metric in (rows.WORKSPACE_TOKENS, rows.WORKSPACE_UNPRICED):
            cache.start_at_zero(metric, workspace_id=workspace)
        if key is OVERFLOW or self._domain.admit(workspace) == workspace:
            self._series[key] = new
        return new

    def _watch(
        self,
        metric: Metric[ObservableKind],
        values: Callable[[WorkspaceBudgets], Mapping[str, Decimal]],
        together: Callable[[Decimal, Decimal], Decimal],
    ) -> None:
        if not self._cache.has(metric):
            return
        domains = self._cache.telemetry.domains

        def read() -> Mapping[tuple[str, ...], float]:
            shown: dict[tuple[str, ...], Decimal] = {}
            if self._budgets is None:
                return {}
            for workspace, value in values(self._budgets).items():
                series = domains.admit_values(metric, (workspace,))
                shown[series] = together(shown[series], value) if series in shown else value
            return {series: float(value) for series, value in shown.items()}

        self._cache.telemetry[metric].watch(read)
