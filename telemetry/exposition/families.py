"""Streams -> Prometheus families: one name, type and help each, and one stream where two have the same series.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-metadata-1: of two types under one
name the later metric is left out; of two helps or units the first is shown, with the points of both. A family keeps its name
for as long as the reader lives and the snapshots have one generation, so a name has the same type in every scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from opentelemetry.sdk.resources import Resource

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition.labels import Pairs, label_text, pairs_of, resource_items, scope_items
from telemetry.metric import telemetry_metrics
from telemetry.metric.naming import Escaping, FamilyType, Translation, family_name, is_plain
from telemetry.metricdata.stream import Snapshot, Stream, StreamKind

__all__ = ["Clashes", "Families", "Family", "FamilyStream", "NamingConfig"]


class NamingConfig(NamedTuple):
    """How names and labels are made; the fields are arguments of ``PrometheusReader``."""

    prefix: str = ""
    scope_labels: bool = True
    target_info: bool = True
    resource_filter: Callable[[str], bool] | None = None
    info: Collection[str] = ()
    translation: Translation = Translation.UNDERSCORES


@dataclass(slots=True, eq=False)
class FamilyStream:
    """A stream in its family, with the label text of each of its series; None for a duplicate, which is left out."""

    family: Family
    stream: Stream
    constant: Sequence[tuple[str, object]]
    texts: list[str | None] = field(default_factory=list)
    cache: object = None
    """What an encoder keeps of the series of ``texts``."""


@dataclass(slots=True, eq=False)
class Family:
    """The samples of one HELP and TYPE. ``name`` is OpenMetrics' family name, without ``_total`` or ``_info``."""

    name: str
    type: str
    help: str
    unit: str
    text_name: str
    """Name in the text format: of the samples, where there is one sample a series."""
    samples: tuple[str, ...]
    """Every name that belongs to the family."""
    members: list[FamilyStream] = field(default_factory=list)
    seen: set[Pairs] | None = None
    """Label sets so far; None where no two of them can be equal."""
    templates: dict[tuple[object, ...], str] = field(default_factory=dict)


class Clashes:
    """What one reader has left out: a metric or series counts once, however many escapings leave it out."""

    def __init__(self) -> None:
        self._generation: object = None
        self._counted: set[tuple[Stream, int | None]] = set()

    def start(self, generation: object) -> None:
        """Forgets the streams of another generation of snapshots."""
        if generation is not self._generation:
            self._generation = generation
            self._counted.clear()

    def is_new(self, stream: Stream, index: int | None) -> bool:
        """Whether the stream, or the series at ``index``, is left out for the first time."""
        known = len(self._counted)
        self._counted.add((stream, index))
        return len(self._counted) > known


class Families:
    """All families of one reader in one escaping of names. Not thread-safe: the reader's lock guards it.

    Args:
        rules: How names and labels are made.
        diagnostics: Counts series and metrics that are left out as ``agentos.telemetry.clashes``.
        escaping: How UTF-8 names are written, for the translations that make them.
        clashes: Shared by all escapings of a reader.
    """

    def __init__(
        self,
        rules: NamingConfig,
        diagnostics: Diagnostics,
        escaping: Escaping = Escaping.UNDERSCORES,
        clashes: Clashes | None = None,
    ) -> None:
        self.rules = rules
        self.escaping = escaping
        self._diagnostics = diagnostics
        self._clashes = clashes or Clashes()
        self._resource: Resource | None = None
        self._constant: Sequence[tuple[str, object]] = ()
        self._generation: object = None
        self._clear()

    def _clear(self) -> None:
        self._by_name: dict[str, Family] = {}
        self._owners: dict[str, Family] = {}
        self._members: dict[Stream, FamilyStream | None] = {}
        self.target = self._new(_target()) if self.rules.target_info else None

    def update(self, snapshot: Snapshot) -> list[Family]:
        """Adds the snapshot's new streams and series; returns the families in the order in which they are written."""
        if snapshot.generation is not self._generation:
            self._generation = snapshot.generation
            self._clear()
        self._clashes.start(snapshot.generation)
        if snapshot.resource is not self._resource:
            self._set_resource(snapshot.resource)
        for stream in snapshot.streams:
            if stream not in self._members:
                self._members[stream] = self._place(stream)
            member = self._members[stream]
            if member is not None and len(member.texts) < len(stream.attributes):
                self._add_series(member)
        return list(self._by_name.values())

    @property
    def names(self) -> Collection[str]:
        """Every name that a family or a sample has had so far; it grows with later updates."""
        return self._owners

    def labels(self, member: FamilyStream, index: int) -> Pairs:
        """Returns the label pairs of one series."""
        return pairs_of([*member.constant, *member.stream.attributes[index].items()], self.escaping)

    def target_labels(self) -> Pairs:
        """Returns the resource as labels of ``target_info``."""
        return pairs_of(resource_items(self._resource, None), self.escaping)

    def _set_resource(self, resource: Resource | None) -> None:
        """Makes all label texts again for a changed resource, for example after a fork."""
        self._resource = resource
        if self.rules.resource_filter is None:
            return
        self._constant = resource_items(resource, self.rules.resource_filter)
        for family in self._by_name.values():
            family.seen = None
        for stream, member in self._members.items():
            if member is not None:
                member.constant, member.texts = self._constant_of(stream), []
        for member in self._members.values():
            if member is not None:
                self._add_series(member)

    def _constant_of(self, stream: Stream) -> Sequence[tuple[str, object]]:
        return [*self._constant, *(scope_items(stream.scope) if self.rules.scope_labels else ())]

    def _place(self, stream: Stream) -> FamilyStream | None:
        """Adds the stream to its family; None where another type has the name."""
        wanted = self._describe(stream)
        family = self._by_name.get(wanted.name)
        if family is not None and family.type == wanted.type:
            if wanted.help != family.help or wanted.unit != family.unit:
                self._diagnostics.log_once(
                    ("metadata", stream.scope.name, stream.name, wanted.help, wanted.unit),
                    "%s has two descriptions or units: %r is shown, %r (scope %s) is not",
                    *(wanted.name, (family.help, family.unit), (wanted.help, wanted.unit), stream.scope.name),
                )
        else:
            taken = [self._owners[n] for n in wanted.samples if n in self._owners]
            if taken:
                self._clash(wanted, stream, None, f"{taken[0].name} is a {taken[0].type} already")
                return None
            family = self._new(wanted)
        member = FamilyStream(family, stream, self._constant_of(stream))
        family.members.append(member)
        return member

    def _new(self, family: Family) -> Family:
        self._by_name[family.name] = family
        for name in family.samples:
            self._owners[name] = family
        return family

    def _describe(self, stream: Stream) -> Family:
        rules = self.rules
        type_: FamilyType = "histogram"
        if stream.kind in (StreamKind.COUNTER, StreamKind.GAUGE):
            type_ = "counter" if stream.kind is StreamKind.COUNTER else "info" if stream.name in rules.info else "gauge"
        instrument = f"{rules.prefix}_{stream.name}" if rules.prefix else stream.name
        name = family_name(instrument, stream.unit, type_, rules.translation, escaping=self.escaping)
        return Family(name.family, type_, stream.description, name.unit, name.text, name.samples)

    def _add_series(self, member: FamilyStream) -> None:
        """Adds the label texts of new series, and None for each whose labels another series of the family has."""
        stream = member.stream
        family = member.family
        for index in range(len(member.texts), len(stream.attributes)):
            pairs = self.labels(member, index)
            if family.seen is None and (len(family.members) > 1 or not self._is_unique(member, index, pairs)):
                family.seen = self._seen_so_far(family)
            if family.seen is not None:
                shown = tuple(pair for pair in pairs if pair[1])
                if shown in family.seen:
                    member.texts.append(None)
                    why = f"another series has the labels {{{label_text(pairs)}}}"
                    self._clash(family, stream, index, why)
                    continue
                family.seen.add(shown)
            member.texts.append(label_text(pairs))

    def _is_unique(self, member: FamilyStream, index: int, pairs: Pairs) -> bool:
        """Whether no other attribute set of this stream can have the same labels."""
        attributes = member.stream.attributes[index]
        return len(pairs) == len(attributes) + len(member.constant) and all(
            type(value) is str
            and value
            and "\0" not in value
            and value.isascii()
            and is_plain(key, label=True)
            and "__" not in key
            and key not in ("le", "exported_le")
            for key, value in attributes.items()
        )

    def _seen_so_far(self, family: Family) -> set[Pairs]:
        return {
            tuple(pair for pair in self.labels(member, index) if pair[1])
            for member in family.members
            for index, text in enumerate(member.texts)
            if text is not None
        }

    def _clash(self, family: Family, stream: Stream, index: int | None, why: str) -> None:
        if not self._clashes.is_new(stream, index):
            return
        self._diagnostics.count(telemetry_metrics.CLASHES.name, family.text_name)
        self._diagnostics.log_once(
            ("clash", family.name, stream.scope.name, stream.name, stream.kind),
            "%s of scope %s is left out of the scrape: %s",
            family.text_name,
            stream.scope.name or "(unnamed)",
            why,
        )


def _target() -> Family:
    return Family("target", "info", "Target metadata", "", "target_info", ("target", "target_info"))
