"""What the workspaces use: tokens by kind, and money by the operator's prices."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from telemetry.agentos import catalogue_workspaces as rows
from telemetry.agentos.series import SeriesCache
from telemetry.instruments.observable import ObservableValues

__all__ = ["WorkspaceMetrics"]


class WorkspaceMetrics:
    """Records tokens and cost by workspace, where the telemetry's catalogue has the rows."""

    def __init__(self, cache: SeriesCache) -> None:
        self._cache = cache
        self._costs = ObservableValues(cache.telemetry[rows.WORKSPACE_COST]) if cache.has(rows.WORKSPACE_COST) else None

    def record_usage(self, workspace: str, kinds: Mapping[str, int], cost: Decimal | None, *, complete: bool) -> None:
        """Adds what one model call used, and what it cost.

        Args:
            workspace: Id of the workspace.
            kinds: Tokens by kind, each token once.
            cost: Cost in USD by the operator's prices; None where no price is known.
            complete: Whether the provider's report is complete, so that the cost is the whole one.
        """
        for kind, count in kinds.items():
            self._cache.series(rows.WORKSPACE_TOKENS, workspace, kind).record_with_exemplar(count, None)
        if cost is not None and self._costs is not None:
            self._costs.add(cost, workspace)
        if cost is None or not complete:
            self._cache.series(rows.WORKSPACE_UNPRICED, workspace).record_with_exemplar(1, None)

    def record_estimate(self, workspace: str, input_tokens: int, output_tokens: int) -> None:
        """Adds the estimated tokens of a call that was cancelled before its provider reported them."""
        for direction, count in (("input", input_tokens), ("output", output_tokens)):
            self._cache.series(rows.WORKSPACE_ESTIMATED_TOKENS, workspace, direction).record_with_exemplar(count, None)
