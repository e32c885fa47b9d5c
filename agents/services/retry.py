"""When a provider is asked again, and how long we wait for that."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["AGAIN", "Retry", "seconds_until"]

AGAIN = frozenset({"rate_limit", "timeout", "unreachable", "server"})
"""Reasons that may have passed a moment later. A request that is refused, or an answer that makes no sense, stays so."""


@dataclass(frozen=True, slots=True)
class Retry:
    """At most ``times`` repetitions at one provider, after waits that double from ``wait`` up to ``longest`` seconds."""

    times: int
    wait: float
    longest: float
    chance: Callable[[], float] = random.random

    def delay(self, repetition: int, reason: str, retry_after: float | None) -> float | None:
        """Seconds to wait before the repetition (1 for the first); None: not again.

        The provider's own word is followed, if it is not longer than ``longest``. Else a random part of the doubled wait, so
        that those who failed together do not come back together.
        https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        """
        if repetition > self.times or reason not in AGAIN:
            return None
        if retry_after is not None:
            return retry_after if retry_after <= self.longest else None
        most: float = min(self.wait * 2 ** min(repetition - 1, 30), self.longest)
        return most / 2 * (1 + self.chance())


def seconds_until(retry_after: str | None, now: float) -> float | None:
    """The seconds of a ``Retry-After`` header: a number, or a date. None where it says neither.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now, 0.0)
