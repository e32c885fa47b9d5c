"""Label values made safe: closed domains checked, open ones bounded, the same for series and spans.

A ``Domain`` is the live side of a ``metric.Label``: it remembers which values of an open label were admitted. It belongs to
the label and not to one metric, so that every metric that uses the label, and the span beside it, agree on the value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum
from math import prod
from threading import Lock
from types import MappingProxyType
from typing import Protocol

from telemetry.label import INVALID, OTHER, CatalogueError, Label
from telemetry.metric import Catalogue, Metric
from telemetry.trouble import Trouble

__all__ = ["Domain", "Domains", "LabelError"]

INVALID_ROW = "agentos.telemetry.invalid"
OVERFLOW_ROW = "agentos.telemetry.overflow"
UNKNOWN_KEY = "unknown"
"""What stands for a label key that the metric does not have."""


class LabelError(ValueError):
    """A label that is missing, unknown or outside its domain. Raised in strict mode only (tests, development)."""


def text_of(value: object) -> str | None:
    """The label value that ``value`` stands for, None where there is none.

    Strings stand for themselves, enum members for their value, numbers and booleans for their JSON spelling, bytes for the
    UTF-8 text in them. None, and whatever has no UTF-8 form, stands for nothing.
    """
    if type(value) is str and value.isascii():
        return value
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        return None
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return None
    return str(value)


class Shared(Protocol):
    """Gives out the places of a label for several workers (``prefork/admission.py``)."""

    def claim(self, domain: Domain, values: Iterable[str]) -> None:
        """Ask for places for these values; those that got one are in the domain afterwards. Raises ``OSError``."""


class Domain:
    """The values of one label. ``known`` values never use up the limit of an open label."""

    def __init__(self, label: Label, *, known: Collection[str] = (), limit: int | None = None) -> None:
        self.label = label
        self.limit = label.limit if limit is None else limit
        if label.is_open and self.limit < 1:
            raise CatalogueError(f"label {label.key!r}: the limit must be at least 1, it is {self.limit}")
        self._lock = Lock()
        self._match = label.pattern.fullmatch if label.pattern is not None else None
        self.known = frozenset(known if label.is_open else label.values) | ({""} if label.optional else frozenset())
        self.taken = set(self.known)
        """The values that keep series of their own now: the known ones and those that took a place under the limit."""
        self._room = len(self.known) + (self.limit if label.is_open else 0)
        self.shared: Shared | None = None
        """Who gives out the places where several workers share them."""

    @property
    def size(self) -> int:
        """How many values a series of this label can have, ``other`` and ``invalid`` included."""
        return self._room + (2 if self.label.is_open else 1)

    @property
    def admitted(self) -> frozenset[str]:
        """The values that took a place under the limit so far."""
        return frozenset(self.taken) - self.known

    def admit(self, value: object) -> str:
        """The value's bounded form: itself, ``other`` (the limit is reached) or ``invalid`` (outside the domain)."""
        text = text_of(value)
        if text is None or text == INVALID:
            return INVALID
        if text in self.taken:
            return text
        if self._match is None or self._match(text) is None:
            return INVALID
        if text == OTHER or len(self.taken) >= self._room:
            return OTHER
        return self._place(text)

    def _place(self, text: str) -> str:
        if self.shared is None:
            self.adopt([text])
        else:
            try:
                self.shared.claim(self, [text])
            except OSError:  # nobody can tell whether there is a place left
                return OTHER
        return text if text in self.taken else OTHER

    def adopt(self, values: Iterable[str]) -> None:
        """Give these values places, in their order, as far as there is room."""
        with self._lock:
            for value in values:
                if self._match is not None and self._match(value) and len(self.taken) < self._room:
                    self.taken.add(value)

    def start_anew(self) -> None:
        """In a forked child: no lock of a thread that is not here any more."""
        self._lock = Lock()

    def allowed(self) -> str:
        """What the domain takes, for an error message."""
        if not self.label.is_open:
            return f"one of {', '.join(self.label.values)}"
        return f"text that matches {self.label.pattern.pattern}" if self.label.pattern else "text"


_Place = tuple[set[str], Domain, str, tuple[str, ...]]
"""A label of a metric: the values taken, their domain, the key, and the overflow counter's key."""


class Domains:
    """The domains of a catalogue's labels, and the one place that turns given labels into bounded ones.

    ``known``: label key -> configured values. ``limits``: label key -> how many other values keep a series. ``strict``: wrong
    labels raise ``LabelError``; else they are logged once, counted, and kept under ``invalid``.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        trouble: Trouble,
        *,
        known: Mapping[str, Collection[str]] = MappingProxyType({}),
        limits: Mapping[str, int] = MappingProxyType({}),
        strict: bool = False,
    ) -> None:
        self._trouble = trouble
        self.strict = strict
        self._domains: dict[Label, Domain] = {}
        open_keys = {label.key for metric in catalogue for label in metric.labels if label.is_open}
        for key in (*known, *limits):
            if key not in open_keys:
                raise CatalogueError(f"no open label {key!r}; the open labels are {', '.join(sorted(open_keys))}")
        for metric in catalogue:
            for label in metric.labels:
                if label not in self._domains:
                    self._domains[label] = Domain(label, known=known.get(label.key, ()), limit=limits.get(label.key))
        # By the metric's name, since hashing a whole definition for each measurement is dear.
        self._of_metric = {m.name: tuple(self._place_of(m, label) for label in m.labels) for m in catalogue}

    def _place_of(self, metric: Metric, label: Label) -> _Place:
        domain = self._domains[label]
        return domain.taken, domain, label.key, (OVERFLOW_ROW, metric.prometheus_name, label.key)

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._domains.values())

    def of(self, label: Label) -> Domain:
        """The domain of one of the catalogue's labels."""
        return self._domains[label]

    def series(self, metric: Metric) -> int:
        """How many series the metric can have."""
        return prod(place[1].size for place in self._of_metric[metric.name])

    def bound(self, metric: Metric, given: Mapping[str, object]) -> tuple[str, ...]:
        """The bounded values in the metric's key order; counts what was wrong or over a limit, raises in strict mode."""
        given = {label.key: "" for label in metric.labels if label.optional} | dict(given)
        self.check_keys(metric, given)
        return self.bound_values(metric, [given.get(key, INVALID) for key in metric.keys])

    def bound_values(self, metric: Metric, given: Iterable[object]) -> tuple[str, ...]:
        """``bound`` for values that stand in the metric's key order already, one a key."""
        values = []
        for place, raw in zip(self._of_metric[metric.name], given, strict=True):
            if type(raw) is str and raw in place[0]:
                values.append(raw)
                continue
            value = place[1].admit(raw)
            if value is OTHER and raw != OTHER:
                self._trouble.bump(place[3])
            elif value is INVALID and raw != INVALID:
                self._wrong(metric, place[2], f"{place[2]} must be {place[1].allowed()}; it is {_short(raw)}")
            values.append(value)
        return tuple(values)

    def check_keys(self, metric: Metric, given: Mapping[str, object]) -> None:
        """Count (raise, in strict mode) keys that are missing or that the metric does not have."""
        if len(given) == len(metric.keys) and all(key in metric.keys for key in given):
            return
        wanted = f"the label keys are {', '.join(metric.keys) or 'none'}"
        for key in metric.keys:
            if key not in given:
                self._wrong(metric, key, f"{key} is missing; {wanted}")
        if any(key not in metric.keys for key in given):
            extra = ", ".join(sorted(str(key) for key in given if key not in metric.keys))
            self._wrong(metric, UNKNOWN_KEY, f"no label {extra}; {wanted}")

    def _wrong(self, metric: Metric, key: str, message: str) -> None:
        if self.strict:
            raise LabelError(f"{metric.prometheus_name}: {message}")
        self._trouble.count(INVALID_ROW, metric.prometheus_name, key)
        self._trouble.log_once((metric.name, key), "%s: %s; kept under 'invalid'", metric.prometheus_name, message)


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
