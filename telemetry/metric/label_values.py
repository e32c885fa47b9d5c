"""Label values made safe: closed domains checked, open ones bounded, the same for series and spans.

A ``Domain`` is the live side of a ``metric.Label``: it remembers which values of an open label were admitted. It belongs to
the label and not to one metric, so that every metric that uses the label, and the span beside it, agree on the value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from math import prod
from threading import Lock
from types import MappingProxyType
from typing import Any, Protocol

from telemetry._base.diagnostics import Diagnostics
from telemetry.metric import telemetry_metrics
from telemetry.metric.definition import Catalogue, Metric
from telemetry.metric.label import INVALID, OTHER, CatalogueError, Label

__all__ = ["Domain", "Domains", "LabelError", "LabelProblems", "text_of"]

_RESERVED = (OTHER, INVALID)
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
        try:
            return str(value)
        except ValueError:  # more digits than Python spells out
            return None
    if not isinstance(value, str):
        return None
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return None
    return str(value)


def shown(value: object) -> str:
    """``value`` in an error message: its repr, where it has one, and not more than 80 characters of it."""
    try:
        text = repr(value)
    except Exception as error:  # whatever was given, naming it must not fail
        text = f"a {type(value).__name__} without a repr ({type(error).__name__})"
    return text if len(text) <= 80 else f"{text[:77]}..."


class Shared(Protocol):
    """Gives out the places of a label for several workers (``prefork/admission.py``)."""

    def reserve(self, domain: Domain, values: Iterable[str]) -> None:
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
        self.admitted = set(self.known)
        """The values that keep series of their own now: the known ones and those that took a place under the limit."""
        self.capacity = len(self.known) + (self.limit if label.is_open else 0)
        self.shared: Shared | None = None
        """Who gives out the places where several workers share them."""

    @property
    def size(self) -> int:
        """How many values a series of this label can have, ``other`` and ``invalid`` included."""
        return self.capacity + (2 if self.label.is_open else 1)

    @property
    def discovered(self) -> frozenset[str]:
        """The values that took a place under the limit so far."""
        return frozenset(self.admitted) - self.known

    def admit(self, value: object) -> str:
        """The value's bounded form: itself, ``other`` (the limit is reached) or ``invalid`` (outside the domain)."""
        text = value if value.__class__ is str and value.isascii() else text_of(value)
        if text is None or text == INVALID:
            return INVALID
        if text in self.admitted:
            return text
        if self._match is None or self._match(text) is None:
            return INVALID
        if text == OTHER or len(self.admitted) >= self.capacity:
            return OTHER
        return self._place(text)

    def overflows(self, value: object) -> bool:
        """Whether ``value`` is text of the domain that finds no room: the quick question of a flood of labels.

        What is asked here may also be left to ``admit``; False says nothing.
        """
        return (
            value.__class__ is str
            and value not in self.admitted
            and len(self.admitted) >= self.capacity
            and value.isascii()
            and value not in _RESERVED
            and self._match is not None
            and self._match(value) is not None
        )

    def _place(self, text: str) -> str:
        if self.shared is None:
            self.admit_all([text])
        else:
            try:
                self.shared.reserve(self, [text])
            except OSError:  # nobody can tell whether there is a place left
                return OTHER
        return text if text in self.admitted else OTHER

    def admit_all(self, values: Iterable[str]) -> None:
        """Give these values places, in their order, as far as there is room."""
        with self._lock:
            for value in values:
                if self._match is not None and self._match(value) and len(self.admitted) < self.capacity:
                    self.admitted.add(value)

    def reset_after_fork(self) -> None:
        """In a forked child: no lock of a thread that is not here any more."""
        self._lock = Lock()

    def allowed(self) -> str:
        """What the domain takes, for an error message."""
        if not self.label.is_open:
            return f"one of {', '.join(self.label.values)}"
        return f"text that matches {self.label.pattern.pattern}" if self.label.pattern else "text"


LabelProblems = tuple[tuple[str, ...], ...]
"""What was wrong with a set of labels, or over a limit: for each the key of its counter (``Diagnostics.counter_of``)."""

_Place = tuple[int, set[str], Domain, LabelProblems, LabelProblems]
"""A label of a metric: its position, the values taken, their domain, and its troubles: over the limit, invalid."""


class Domains:
    """The domains of a catalogue's labels, and the one place that turns given labels into bounded ones.

    ``known``: label key -> configured values. ``limits``: label key -> how many other values keep a series. ``strict``: wrong
    labels raise ``LabelError``; else they are logged once, counted, and kept under ``invalid``.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        diagnostics: Diagnostics,
        *,
        known: Mapping[str, Collection[str]] = MappingProxyType({}),
        limits: Mapping[str, int] = MappingProxyType({}),
        strict: bool = False,
    ) -> None:
        self._diagnostics = diagnostics
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
        self._of_metric = {m.name: tuple(self._place_of(m, n) for n in range(len(m.labels))) for m in catalogue}

    def _place_of(self, metric: Metric, position: int) -> _Place:
        domain = self._domains[metric.labels[position]]
        counted = (metric.prometheus_name, domain.label.key)
        return (
            position,
            domain.admitted,
            domain,
            ((telemetry_metrics.OVERFLOW.name, *counted),),
            ((telemetry_metrics.INVALID.name, *counted),),
        )

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._domains.values())

    def of(self, label: Label) -> Domain:
        """The domain of one of the catalogue's labels."""
        return self._domains[label]

    def series(self, metric: Metric) -> int:
        """How many series the metric can have."""
        return prod(place[2].size for place in self._of_metric[metric.name])

    def resolve(self, metric: Metric, given: Mapping[str, object]) -> tuple[tuple[str, ...], LabelProblems]:
        """The bounded values in the metric's key order, and what to count for each measurement that is kept under them.

        Raises ``LabelError`` in strict mode; else what is wrong is logged once.
        """
        given = {label.key: "" for label in metric.labels if label.optional} | dict(given)
        wrong = self.check_keys(metric, given)
        values, problems = self.resolve_values(metric, [given.get(key, INVALID) for key in metric.keys])
        return values, wrong + problems

    def resolve_values(self, metric: Metric, given: Sequence[object]) -> tuple[tuple[str, ...], LabelProblems]:
        """``resolve`` for values that stand in the metric's key order already, one a key."""
        values: list[Any] = list(given)
        problems: LabelProblems = ()
        for position, admitted, domain, over, wrong in self._of_metric[metric.name]:
            raw = given[position]
            if raw.__class__ is str and raw in admitted:
                continue
            if domain.overflows(raw):
                values[position] = OTHER
                problems += over
                continue
            values[position] = value = domain.admit(raw)
            if value is OTHER and raw != OTHER:
                problems += over
            elif value is INVALID and raw != INVALID:
                key = domain.label.key
                self._complain(metric, key, f"{key} must be {domain.allowed()}; it is {shown(raw)}")
                problems += wrong
        return tuple(values), problems

    def bound(self, metric: Metric, given: Mapping[str, object]) -> tuple[str, ...]:
        """The values of ``resolve`` for one measurement, its troubles counted."""
        return self._counted(*self.resolve(metric, given))

    def bound_values(self, metric: Metric, given: Sequence[object]) -> tuple[str, ...]:
        """``bound`` for values that stand in the metric's key order already, one a key."""
        return self._counted(*self.resolve_values(metric, given))

    def _counted(self, values: tuple[str, ...], problems: LabelProblems) -> tuple[str, ...]:
        for diagnostics in problems:
            self._diagnostics.counter_of(diagnostics).increment()
        return values

    def check_keys(self, metric: Metric, given: Mapping[str, object]) -> LabelProblems:
        """A trouble for each key that is missing, and one for those that the metric does not have. Raises in strict mode."""
        if len(given) == len(metric.keys) and all(key in metric.keys for key in given):
            return ()
        wanted = f"the label keys are {', '.join(metric.keys) or 'none'}"
        problems: list[tuple[str, ...]] = []
        for key in metric.keys:
            if key not in given:
                self._complain(metric, key, f"{key} is missing; {wanted}")
                problems.append((telemetry_metrics.INVALID.name, metric.prometheus_name, key))
        if any(key not in metric.keys for key in given):
            extra = ", ".join(sorted(str(key) for key in given if key not in metric.keys))
            self._complain(metric, UNKNOWN_KEY, f"no label {extra}; {wanted}")
            problems.append((telemetry_metrics.INVALID.name, metric.prometheus_name, UNKNOWN_KEY))
        return tuple(problems)

    def _complain(self, metric: Metric, key: str, message: str) -> None:
        if self.strict:
            raise LabelError(f"{metric.prometheus_name}: {message}")
        self._diagnostics.log_once((metric.name, key), "%s: %s; kept under 'invalid'", metric.prometheus_name, message)
