"""An aggregation of a host's View that fails."""

from __future__ import annotations

from opentelemetry.sdk.metrics.view import Aggregation

__all__ = ["FailingAggregation"]


class FailingAggregation(Aggregation):
    """Raises when the SDK makes it, and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def _create_aggregation(self, *args: object) -> object:  # type: ignore[override]  # fails on purpose
        self.made += 1
        raise RuntimeError("no aggregation")
