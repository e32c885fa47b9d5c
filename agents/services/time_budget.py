"""How long we wait, in all, for something that comes in pieces."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["TimeBudget"]

T = TypeVar("T")


class TimeBudget:
    """``seconds`` of waiting. What passes between the waits, while the reader takes its time, does not count."""

    def __init__(self, seconds: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self.left = seconds
        self._clock = clock

    async def wait(self, coming: Awaitable[T], *others: TimeBudget) -> T:
        """Waits for what comes; each of ``others`` must have patience left as well. Raises ``TimeoutError``."""
        every = (self, *others)
        least = min(one.left for one in every)
        begun = self._clock()
        try:
            async with asyncio.timeout(None if least == math.inf else max(least, 0.0)) as limit:
                return await coming
        finally:
            # Whose time was up has none left, whatever the clock says: the loop's need not be the same.
            passed = least if limit.expired() else self._clock() - begun
            for one in every:
                one.left -= passed
