"""Numbers, bucket bounds and times as the text formats write them."""

from __future__ import annotations

import sys
from typing import Any

from prometheus_client.utils import floatToGoString

__all__ = ["bound_text", "number_text", "seconds_text"]

_LARGEST = sys.float_info.max  # Prometheus refuses the whole scrape for a larger number
_SPECIAL_NUMBERS = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_SECOND = 1_000_000_000


def number_text(value: Any) -> str:
    """Returns the shortest text that reads back as the same number; integers without a point."""
    if type(value) is int and -_LARGEST <= value <= _LARGEST:
        return str(value)
    if type(value) is not float:
        # bool, and scalars of numeric libraries: their repr() is not a number
        if isinstance(value, int):
            return str(int(value)) if -_LARGEST <= value <= _LARGEST else "+Inf" if value > 0 else "-Inf"
        value = float(value)
    text = repr(value)
    return _SPECIAL_NUMBERS.get(text, text)


def bound_text(bound: float) -> str:
    """Returns a bucket bound as Prometheus writes it in ``le``: ``0.01``, ``1.0``, ``1e+06``, ``+Inf``."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # prometheus_client has no types for it


def seconds_text(unix_nano: int) -> str:
    """Returns Unix time in seconds, exact to the nanosecond."""
    return f"{unix_nano // _SECOND}.{unix_nano % _SECOND:09d}"
