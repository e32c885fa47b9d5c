"""When the router calls a provider again, and how long it waits before."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["AGAIN", "Retry", "number_of", "seconds_until"]

AGAIN = frozenset({"rate_limit", "timeout", "unreachable", "server"})
"""Failure reasons that may have passed a moment later. A refused request or a malformed answer stays so."""


@dataclass(frozen=True, slots=True)
class Retry:
    """At most ``times`` repetitions per provider, after waits that double from ``wait`` up to ``longest`` seconds."""

    times: int
    wait: float
    longest: float
    chance: Callable[[], float] = random.random

    def delay(self, repetition: int, reason: str, retry_after: float | None) -> float | None:
        """Returns the seconds to wait before a repetition, ``None`` if the call is not repeated.

        The wait is the provider's ``retry_after`` if that is not longer than ``longest``. Without one from 0 on it is a random
        part of the doubled wait, so that callers that failed together do not return together.
        https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/

        Args:
            repetition: 1 for the first.
            reason: Why the call failed.
            retry_after: Seconds that the provider asks to wait, if it does.
        """
        if repetition > self.times or reason not in AGAIN:
            return None
        if retry_after is not None and retry_after >= 0:
            return retry_after if retry_after <= self.longest else None
        most: float = min(self.wait * 2 ** min(repetition - 1, 30), self.longest)
        return most / 2 * (1 + self.chance())


def seconds_until(retry_after: str | None, now: float) -> float | None:
    """Returns the seconds of a ``Retry-After`` header, a number or a date; ``None`` for other values.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    seconds = number_of(retry_after)
    if seconds is not None:
        return seconds
    try:
        when = parsedate_to_datetime(retry_after or "")
        return max(when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now, 0.0)
    except (ValueError, OverflowError, TypeError, IndexError):  # no date, or one of no calendar
        return None


def number_of(text: str | None) -> float | None:
    """Returns a decimal number from 0 on, without sign and exponent; ``None`` for other texts."""
    digits = (text or "").strip()
    return float(digits) if digits.isascii() and digits.replace(".", "", 1).isdigit() else None
