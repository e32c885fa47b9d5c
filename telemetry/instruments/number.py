"""Which numbers can be recorded: those that /metrics and OTLP can both carry.

OTLP carries a number as a 64-bit integer or as a double, and one number that is neither ends the export of all others:
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto
"""

from __future__ import annotations

import sys
from operator import index
from typing import Any

__all__ = ["INT64", "LARGEST", "LARGEST_ADDEND", "addend", "finite_number"]

LARGEST = sys.float_info.max
"""The largest finite measurement."""
INT64 = 2**63
"""The first integer that 64 bits with a sign cannot hold."""
LARGEST_ADDEND = 2.0**31
"""Integers from here on are added as floats, so that no sum of integers leaves 64 bits within four billion additions."""


def finite_number(value: Any) -> float | None:
    """Returns the number that a measurement stands for, as an ``int`` or ``float`` itself: others would change the sum's type.

    Args:
        value: An ``int``, ``float`` or an object that converts to one: ``bool``, ``Decimal``, ``Fraction``, a scalar of numpy.

    Returns:
        The number; None where it is not finite, or an integer of more than 64 bits.

    Raises:
        TypeError: The value is no number; text is none, even if it spells one.
        Exception: What the conversion raises.
    """
    number = _converted(value)
    if type(number) is int:
        return number if -INT64 <= number < INT64 else None
    return number if -LARGEST <= number <= LARGEST else None


def _converted(value: Any) -> float:
    kind = type(value)
    if kind is float or kind is int:
        return value  # type: ignore[no-any-return]  # one of the two
    if issubclass(kind, float):
        return float.__float__(value)  # not the subclass's own
    if issubclass(kind, int):
        return int.__int__(value)
    try:
        return int.__int__(index(value))
    except TypeError:
        if not hasattr(kind, "__float__"):
            raise TypeError(f"{kind.__name__} is no number") from None
    try:
        return float(value)
    except OverflowError:  # a Fraction beyond every float
        return float("inf")


def addend(number: float) -> float:
    """Returns the number as it is added to a sum: large integers as floats, which makes sums exact up to ``2**53``."""
    return number if -LARGEST_ADDEND < number < LARGEST_ADDEND else float(number)
