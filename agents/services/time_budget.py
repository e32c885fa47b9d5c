"""The time budget for an answer that comes in pieces."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["TimeBudget"]

T = TypeVar("T")


class TimeBudget:
    """``seconds`` of waiting in all. Time between the waits, while the reader handles a piece, does not count."""

    def __init__(self, seconds: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self.left = seconds
        self._clock = clock

    async def wait(self, coming: Awaitable[T], *others: TimeBudget) -> T:
        """Returns the result of ``coming``. The wait counts against this budget and the ``others``.

        Raises:
            TimeoutError: The smallest of the budgets is used up.
        """
        budgets = (self, *others)
        least = min(budget.left for budget in budgets)
        begun = self._clock()
        try:
            async with asyncio.timeout(None if least == math.inf else max(least, 0.0)) as limit:
                return await coming
        finally:
            # A budget that has expired has nothing left, whatever the clock says: the loop's clock may be another one.
            passed = least if limit.expired() else self._clock() - begun
            for budget in budgets:
                budget.left -= passed
