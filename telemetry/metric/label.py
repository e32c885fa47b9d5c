"""A label key and the domain of its values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from telemetry.metric.naming import label_key

__all__ = ["INVALID", "OTHER", "CatalogueError", "Label", "closed_label", "open_label"]

OTHER = "other"
"""Value of an open label whose limit is reached."""

INVALID = "invalid"
"""Value of a label that was given something outside its domain."""


class CatalogueError(ValueError):
    """A definition that contradicts itself or another one; raised when the list is built, never later."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label key with the domain of its values.

    A *closed* label (``values`` given) takes these values only. An *open* one takes whatever matches ``pattern``, and at most
    ``limit`` values that the settings do not name; later ones become ``other``. What lies outside the domain is ``invalid``.
    """

    key: str
    description: str
    values: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    """Closed values whose counters start at 0."""
    pattern: re.Pattern[str] | None = None
    limit: int = 0
    on_span: bool = True
    optional: bool = False
    """Whether a series may lack it; the empty value stands for that."""
    number: bool = False
    """Whether OpenTelemetry has it as a whole number."""

    @property
    def is_open(self) -> bool:
        return not self.values

    @property
    def prometheus_key(self) -> str:
        """The key as a Prometheus label."""
        return label_key(self.key, utf8=False)

    def attribute(self, value: str) -> Any:
        """The value as an OpenTelemetry attribute."""
        return int(value) if self.number and value.isdecimal() else value


def closed_label(key: str, description: str, *values: str, late: Sequence[str] = (), on_span: bool = True) -> Label:
    """A label with a closed domain. Counters start at 0 for every value that is not in ``late``."""
    if not values:
        raise CatalogueError(f"label {key!r}: a closed label needs at least one value")
    return Label(key, description, values, tuple(v for v in values if v not in late), on_span=on_span)


def open_label(key: str, description: str, *, limit: int, pattern: str = r"[^\x00-\x1f\x7f]{1,128}") -> Label:
    """A label with an open domain: values that match ``pattern`` in full, ``limit`` of them beside the configured ones."""
    if limit < 1:
        raise CatalogueError(f"label {key!r}: the limit must be at least 1, it is {limit}")
    return Label(key, description, pattern=re.compile(pattern), limit=limit)
