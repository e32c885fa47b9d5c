"""Label values made safe: closed domains checked, open ones bounded, the same for series and spans.

A ``Domain`` belongs to a label and not to one metric, so that all metrics that use the label, and the span beside them, agree
on the value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from math import prod
from threading import RLock
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from telemetry._base.diagnostics import Diagnostics
from telemetry.metric import telemetry_metrics
from telemetry.metric.definition import Catalogue, Metric
from telemetry.metric.label import INVALID, OTHER, CatalogueError, Label

__all__ = ["Domain", "Domains", "LabelError", "LabelProblems", "SharedPlaces", "text_of"]

_RESERVED = (OTHER, INVALID)
_UNKNOWN_KEY = "unknown"
"""Stands in the diagnostics for label keys that the metric does not have."""

LabelProblems = tuple[tuple[str, ...], ...]
"""What was wrong with a label set, or over a limit: for each problem the key of its count (``Diagnostics.counter_of``)."""


class LabelError(ValueError):
    """A label that is missing, unknown or outside its domain. Raised in strict mode only (tests, development)."""


def text_of(value: object) -> str | None:
    """Returns the label value that ``value`` stands for.

    Strings stand for themselves, enum members for their value, numbers and booleans for their JSON spelling, bytes for their
    UTF-8 text.

    Returns:
        The text; None for None and for everything that has no UTF-8 text.
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


def _shown(value: object) -> str:
    """Returns at most 80 characters of the value's repr, for an error message."""
    try:
        text = repr(value)
    except Exception as error:  # a label value may be any object
        text = f"a {type(value).__name__} without a repr ({type(error).__name__})"
    return text if len(text) <= 80 else f"{text[:77]}..."


class SharedPlaces(Protocol):
    """Decides which values of a label several workers admit together (``prefork.shared_labels``)."""

    def reserve(self, domain: Domain, values: Iterable[str]) -> None:
        """Asks for a place for each value; those that got one are in ``domain.admitted`` afterwards. Raises ``OSError``."""


class Domain:
    """The values of one label.

    Args:
        label: The label's definition.
        known: Configured values of an open label; they are always admitted and do not count towards the limit.
        limit: How many other values an open label admits; by default the label's own limit.

    Raises:
        CatalogueError: The limit is below 1.
    """

    def __init__(self, label: Label, *, known: Collection[str] = (), limit: int | None = None) -> None:
        self.label = label
        self.limit = label.limit if limit is None else limit
        if label.is_open and self.limit < 1:
            raise CatalogueError(f"label {label.key!r}: the limit must be at least 1, it is {self.limit}")
        self._lock = RLock()
        self._match = label.pattern.fullmatch if label.pattern is not None else None
        self.known = frozenset(known if label.is_open else label.values) | ({""} if label.optional else frozenset())
        self.admitted = set(self.known)
        """The values that have series of their own: the known ones, and others up to the limit."""
        self.capacity = len(self.known) + (self.limit if label.is_open else 0)
        """How many values can be admitted."""
        self.shared: SharedPlaces | None = None
        """Set where several workers admit values together."""

    @property
    def size(self) -> int:
        """How many values a series of this label can have, ``other`` and ``invalid`` included."""
        return self.capacity + (2 if self.label.is_open else 1)

    @property
    def discovered(self) -> frozenset[str]:
        """The admitted values that are not known ones."""
        return frozenset(self.admitted) - self.known

    def admit(self, value: object) -> str:
        """Returns the value itself, ``other`` (the limit is reached) or ``invalid`` (outside the domain)."""
        text = value if value.__class__ is str and value.isascii() else text_of(value)
        if text is None or text == INVALID:
            return INVALID
        if text in self.admitted:
            return text
        if self._match is None or self._match(text) is None:
            return INVALID
        if text == OTHER or len(self.admitted) >= self.capacity:
            return OTHER
        return self._admit_new(text)

    def overflows(self, value: object) -> bool:
        """Returns whether ``value`` certainly becomes ``other`` because the limit is reached.

        This is cheaper than ``admit`` in a flood of new values. False says nothing: ``admit`` decides.
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

    def _admit_new(self, text: str) -> str:
        if self.shared is None:
            self.admit_all([text])
        else:
            try:
                self.shared.reserve(self, [text])
            except OSError:  # whether a place is left is not known
                return OTHER
        return text if text in self.admitted else OTHER

    def admit_all(self, values: Iterable[str]) -> None:
        """Admits these values in their order, up to the capacity."""
        with self._lock:
            for value in values:
                if self._match is None or value in self.admitted or not self._match(value):
                    continue
                if len(self.admitted) < self.capacity:
                    self.admitted.add(value)
                    if len(self.admitted) > self.capacity:  # a signal handler has taken the last place in between
                        self.admitted.discard(value)

    def reset_after_fork(self) -> None:
        """Replaces the lock in a forked child: a thread that is not there may have held it."""
        self._lock = RLock()

    def allowed(self) -> str:
        """Returns a description of the domain for an error message."""
        if not self.label.is_open:
            return f"one of {', '.join(self.label.values)}"
        return f"text that matches {self.label.pattern.pattern}" if self.label.pattern else "text"


class _Slot(NamedTuple):
    """A label of a metric, with what ``resolve_values`` needs of it."""

    position: int
    admitted: set[str]
    domain: Domain
    overflow: LabelProblems
    invalid: LabelProblems


class Domains:
    """The domains of a catalogue's labels; turns the labels that a caller gives into bounded ones.

    Args:
        catalogue: The metrics whose labels are bounded.
        diagnostics: Counts and logs wrong labels.
        known: Configured values by label key.
        limits: How many other values an open label admits, by label key.
        strict: Wrong labels raise ``LabelError``. Otherwise they are logged once, counted, and recorded under ``invalid``.

    Raises:
        CatalogueError: ``known`` or ``limits`` names a label that the catalogue does not have, or a limit is below 1.
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
        # By the metric's name: hashing a whole definition for each measurement is expensive.
        self._slots = {m.name: tuple(self._slot(m, n) for n in range(len(m.labels))) for m in catalogue}

    def _slot(self, metric: Metric, position: int) -> _Slot:
        domain = self._domains[metric.labels[position]]
        labels = (metric.prometheus_name, domain.label.key)
        overflow, invalid = telemetry_metrics.OVERFLOW.name, telemetry_metrics.INVALID.name
        return _Slot(position, domain.admitted, domain, ((overflow, *labels),), ((invalid, *labels),))

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._domains.values())

    def of(self, label: Label) -> Domain:
        """Returns the domain of one of the catalogue's labels."""
        return self._domains[label]

    def series_limit(self, metric: Metric) -> int:
        """Returns how many series the metric can have."""
        return prod(slot.domain.size for slot in self._slots[metric.name])

    def resolve(self, metric: Metric, given: Mapping[str, object]) -> tuple[tuple[str, ...], LabelProblems]:
        """Bounds the labels of a metric's series.

        Args:
            metric: One of the catalogue's metrics.
            given: Label values by key.

        Returns:
            The bounded values in the metric's key order, and what to count for each measurement recorded under them.

        Raises:
            LabelError: A label is missing, unknown or outside its domain, in strict mode.
        """
        given = {label.key: "" for label in metric.labels if label.optional} | dict(given)
        wrong = self.check_keys(metric, given)
        values, problems = self.resolve_values(metric, [given.get(key, INVALID) for key in metric.keys])
        return values, wrong + problems

    def resolve_values(self, metric: Metric, given: Sequence[object]) -> tuple[tuple[str, ...], LabelProblems]:
        """Does the same as ``resolve`` for one value a key, in the metric's key order."""
        values: list[Any] = list(given)
        problems: LabelProblems = ()
        for position, admitted, domain, overflow, invalid in self._slots[metric.name]:
            raw = given[position]
            if raw.__class__ is str and raw in admitted:
                continue
            if domain.overflows(raw):
                values[position] = OTHER
                problems += overflow
                continue
            values[position] = value = domain.admit(raw)
            if value is OTHER and raw != OTHER:
                problems += overflow
            elif value is INVALID and raw != INVALID:
                key = domain.label.key
                self._complain(metric, key, f"{key} must be {domain.allowed()}; it is {_shown(raw)}")
                problems += invalid
        return tuple(values), problems

    def admit(self, metric: Metric, given: Mapping[str, object]) -> tuple[str, ...]:
        """Returns the values of ``resolve`` for one measurement, and counts its problems."""
        return self._counted(*self.resolve(metric, given))

    def admit_values(self, metric: Metric, given: Sequence[object]) -> tuple[str, ...]:
        """Does the same as ``admit`` for one value a key, in the metric's key order."""
        return self._counted(*self.resolve_values(metric, given))

    def _counted(self, values: tuple[str, ...], problems: LabelProblems) -> tuple[str, ...]:
        for problem in problems:
            self._diagnostics.counter_of(problem).increment()
        return values

    def check_keys(self, metric: Metric, given: Mapping[str, object]) -> LabelProblems:
        """Compares the given keys with the metric's.

        Returns:
            One problem for each missing key, and one for all keys that the metric does not have.

        Raises:
            LabelError: A key is missing or unknown, in strict mode.
        """
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
            self._complain(metric, _UNKNOWN_KEY, f"no label {extra}; {wanted}")
            problems.append((telemetry_metrics.INVALID.name, metric.prometheus_name, _UNKNOWN_KEY))
        return tuple(problems)

    def _complain(self, metric: Metric, key: str, message: str) -> None:
        if self.strict:
            raise LabelError(f"{metric.prometheus_name}: {message}")
        self._diagnostics.log_once((metric.name, key), "%s: %s; kept under 'invalid'", metric.prometheus_name, message)
