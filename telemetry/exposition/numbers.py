"""Numbers as both text formats write them."""

from __future__ import annotations

from typing import Any

from prometheus_client.utils import floatToGoString

__all__ = ["bound_text", "number", "seconds"]

_ODD = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


def number(value: Any) -> str:
    """The shortest text that gives the same number back; integers without a point."""
    if type(value) is int:
        return str(value)
    if type(value) is not float:
        # bool, and the scalars of numeric libraries, whose repr() is no number
        if isinstance(value, int):
            return str(int(value))
        value = float(value)
    text = repr(value)
    return _ODD.get(text, text)


def bound_text(bound: float) -> str:
    """A bucket bound as Prometheus writes it in ``le``: ``0.01``, ``1.0``, ``1e+06``, ``+Inf``."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # prometheus_client leaves it so


def seconds(unix_nano: int) -> str:
    """Unix time in seconds, exact to the nanosecond."""
    return f"{unix_nano // 1_000_000_000}.{unix_nano % 1_000_000_000:09d}"
