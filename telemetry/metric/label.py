"""A label's key and the domain of its values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from telemetry.metric.naming import label_key

__all__ = ["INVALID", "OTHER", "CatalogueError", "Label", "closed_label", "open_label"]

OTHER = "other"
"""Stands for the values of an open label that are over its limit."""

INVALID = "invalid"
"""Stands for the values of a label that are outside its domain."""

_INT64_DIGITS = 18
"""So many decimal digits always have room in 64 bits."""


class CatalogueError(ValueError):
    """A definition that contradicts itself or another one. Raised when the catalogue is built, never later."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label key with the domain of its values.

    A *closed* label has ``values`` and takes only these. An *open* label takes values that match ``pattern``: the configured
    ones, and the first ``limit`` others; later ones become ``other``. Values outside the domain become ``invalid``.

    Attributes:
        key: The attribute key in OpenTelemetry, which may have dots.
        description: What the label tells, for the reference.
        values: The values of a closed label.
        start: The values of a closed label at which counters start at 0.
        pattern: Matches the values of an open label in full.
        limit: How many values an open label admits beside the configured ones.
        on_span: Whether the span of the measurement carries the label too.
        optional: Whether a series may lack the label; the empty value stands for that.
        number: Whether the OpenTelemetry attribute is an integer.
    """

    key: str
    description: str
    values: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    limit: int = 0
    on_span: bool = True
    optional: bool = False
    number: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the values are not all known beforehand."""
        return not self.values

    @property
    def prometheus_key(self) -> str:
        """The label's key on /metrics."""
        return label_key(self.key)

    def attribute(self, value: str) -> Any:
        """Returns the value as an OpenTelemetry attribute: an integer only where it has 64 bits, the most that OTLP carries."""
        if self.number and len(value) <= _INT64_DIGITS and value.isascii() and value.isdecimal():
            return int(value)
        return value


def closed_label(key: str, description: str, *values: str, late: Sequence[str] = (), on_span: bool = True) -> Label:
    """Defines a label with a closed domain.

    Args:
        key: The label's key.
        description: What the label tells, for the reference.
        *values: All values that the label can have.
        late: Values at which counters do not start at 0: their series appear with the first event.
        on_span: Whether the span of the measurement carries the label too.

    Raises:
        CatalogueError: There are no values.
    """
    if not values:
        raise CatalogueError(f"label {key!r}: a closed label needs at least one value")
    return Label(key, description, values, tuple(v for v in values if v not in late), on_span=on_span)


def open_label(key: str, description: str, *, limit: int, pattern: str = r"[^\x00-\x1f\x7f]{1,128}") -> Label:
    """Defines a label with an open domain.

    Args:
        key: The label's key.
        description: What the label tells, for the reference.
        limit: How many values are admitted beside the configured ones.
        pattern: Matches allowed values in full; by default 1 to 128 characters without control characters.

    Raises:
        CatalogueError: The limit is below 1.
    """
    if limit < 1:
        raise CatalogueError(f"label {key!r}: the limit must be at least 1, it is {limit}")
    return Label(key, description, pattern=re.compile(pattern), limit=limit)
