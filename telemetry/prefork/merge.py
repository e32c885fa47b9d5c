"""The states of several workers as one snapshot.

Sums and histograms are added exactly: the float that is shown is the one nearest to the sum of all parts, so it never falls
when the parts are added in another order. Gauges are combined by their ``MultiprocessMode``; those of ended workers are left
out. Each bucket shows its newest exemplar. A series starts when the first worker's did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf, isfinite
from operator import add
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry._base.diagnostics import Diagnostics
from telemetry.metric import telemetry_metrics
from telemetry.metric.definition import MultiprocessMode
from telemetry.metric.naming import FamilyType, family_name
from telemetry.metricdata.convert import keep_newest
from telemetry.metricdata.exponential import add_exponentials
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, Snapshot, Stream, StreamKind
from telemetry.prefork.snapshot import Part, StreamIdentity, WorkerSnapshot
from telemetry.prefork.state_directory import FOLDED, birth

__all__ = ["Contribution", "Merger"]


_TYPES: Mapping[StreamKind, FamilyType] = {StreamKind.COUNTER: "counter", StreamKind.GAUGE: "gauge"}
_NO_MEASUREMENTS = ExponentialState(8, 0, 0, 0, (), 0, ())


class Contribution(NamedTuple):
    """A state to merge, and whether its worker is alive."""

    snapshot: WorkerSnapshot
    alive: bool


@dataclass(slots=True, eq=False)
class _Key:
    """A stream of the run, one object for each. Of equal streams in one worker, the n-th belongs to the n-th of the others."""

    identity: StreamIdentity
    unit: str
    nth: int
    metric: tuple[str, bytes, str]
    """Scope and name, an object that all definitions of the metric share."""

    @property
    def definition(self) -> tuple[object, ...]:
        """What must be equal for numbers to be added."""
        return self.identity.kind, self.identity.bounds, self.unit


class _Placed(NamedTuple):
    """A part of a worker's state, and the stream that it is."""

    rank: tuple[bool, int, int]
    """Whether the worker lives, its birth, and its place among the contributions: the largest one decides."""
    worker: str
    key: _Key
    part: Part


class Merger:
    """Merges states. Streams and series keep their places from one snapshot to the next: the encoder caches them.

    Calls must not overlap.

    Args:
        multiprocess_modes: Instrument name -> how gauges are combined; others are summed.
        diagnostics: Counts definitions that are left out as ``agentos.telemetry.clashes``.
    """

    def __init__(self, multiprocess_modes: Mapping[str, MultiprocessMode], diagnostics: Diagnostics | None = None) -> None:
        self._multiprocess_modes = multiprocess_modes
        self._diagnostics = diagnostics
        self._keys: dict[tuple[StreamIdentity, str, int], _Key] = {}
        self._metrics: dict[tuple[str, bytes, str], tuple[str, bytes, str]] = {}
        self._streams: dict[_Key, _MergedStream] = {}
        self._left_out: set[_Key] = set()
        self._generation = object()

    def merge(self, resource: Resource | None, contributions: Sequence[Contribution], *, exact: bool = False) -> Snapshot:
        """Returns the totals.

        Args:
            resource: The snapshot's resource.
            contributions: The states; of two workers of one age, the later one counts as younger.
            exact: Whether a value may be a list that stands for its exact sum, and every definition is kept: for a state, not
                for a body.
        """
        placed = self._placed(contributions)
        if not exact:
            placed = self._without_other_definitions(placed)
        self._arrange(placed)
        for merged in self._streams.values():  # a stream that is forgotten keeps its numbers: a slow scrape may still read it
            merged.clear()
        for each in placed:
            self._streams[each.key].add(each.worker, each.part)
        present = {contribution.snapshot.worker for contribution in contributions}
        for merged in self._streams.values():
            merged.finish(present, exact)
        return Snapshot(resource, [merged.stream for merged in self._streams.values()], self._generation)

    def _placed(self, contributions: Sequence[Contribution]) -> list[_Placed]:
        """All parts that can be shown: gauges of ended workers cannot."""
        found = []
        for index, (snapshot, alive) in enumerate(contributions):
            rank = (alive, birth(snapshot.worker), index)
            seen: set[_Key] = set()
            for part in snapshot.parts:
                nth = 1
                while (key := self._key(part, nth)) in seen:
                    nth += 1
                seen.add(key)
                if alive or part.identity.kind is not StreamKind.GAUGE:
                    found.append(_Placed(rank, snapshot.worker, key, part))
        return found

    def _key(self, part: Part, nth: int) -> _Key:
        identity = part.identity
        key = self._keys.get((identity, part.unit, nth))
        if key is None:
            metric = (identity.scope_name, identity.scope_attributes, identity.name)
            metric = self._metrics.setdefault(metric, metric)
            key = self._keys[identity, part.unit, nth] = _Key(identity, part.unit, nth, metric)
        return key

    def _without_other_definitions(self, placed: list[_Placed]) -> list[_Placed]:
        """Leaves out the parts whose metric the youngest worker defines differently."""
        metrics: dict[int, dict[_Key, None]] = {}
        for each in placed:
            metrics.setdefault(id(each.key.metric), {})[each.key] = None
        several = [keys for keys in metrics.values() if len(keys) > 1]
        if not several:
            return placed
        places: dict[_Key, _Key | None] = {}
        for keys in several:
            places |= _places([each for each in placed if each.key in keys])
        self._tell([key for key, place in places.items() if place is None])
        moved = ((each, places.get(each.key, each.key)) for each in placed)
        return [each._replace(key=key) for each, key in moved if key is not None]

    def _tell(self, left_out: Iterable[_Key]) -> None:
        for key in left_out:
            if key in self._left_out:
                continue
            self._left_out.add(key)
            if self._diagnostics is None:
                continue
            kind = key.identity.kind
            name = family_name(key.identity.name, key.unit, _TYPES.get(kind, "histogram")).text
            self._diagnostics.count(telemetry_metrics.CLASHES.name, name)
            self._diagnostics.log_once(
                ("definition", key.identity, key.unit),
                "several workers: %s as %s with bounds %s is left out, a younger worker defines it differently",
                *(name, kind.value, list(key.identity.bounds)),
            )

    def _arrange(self, placed: Sequence[_Placed]) -> None:
        """Makes missing streams, each with the text of the youngest worker.

        Streams of living workers come first: of two metrics with one name in Prometheus, the first is shown. Where an order
        that was seen before changes by that, streams that no worker has now are forgotten, and the generation is a new one.
        """
        youngest: dict[_Key, _Placed] = {}
        for each in placed:
            known = youngest.get(each.key)
            if known is None or known.rank < each.rank:
                youngest[each.key] = each
        streams = self._streams
        new = [key for key in youngest if key not in streams]
        alive = {key for key, each in youngest.items() if each.rank[0]}
        changed = sum(streams[key].describe(each.part) for key, each in youngest.items() if key in streams) > 0
        if not alive.isdisjoint(new) or any(key not in youngest for key in self._left_out if key in streams):
            changed = changed or not alive.issuperset(streams)
        for key in new:
            mode = self._multiprocess_modes.get(key.identity.name, MultiprocessMode.SUM)
            streams[key] = _MergedStream(youngest[key].part, mode)
        if changed:
            kept = sorted((key for key in streams if key in youngest), key=lambda key: key not in alive)
            self._streams = {key: streams[key] for key in kept}
            self._generation = object()


def _places(placed: Sequence[_Placed]) -> dict[_Key, _Key | None]:
    """Where each stream of one metric is shown: as itself, as another version of its scope, or not at all (None)."""
    by_rank: dict[tuple[bool, int, int], list[_Placed]] = {}
    for each in placed:
        by_rank.setdefault(each.rank, []).append(each)
    youngest = next((of for _, of in sorted(by_rank.items(), reverse=True) if any(each.part.series for each in of)), placed)
    if youngest[0].worker == FOLDED:  # it has the definitions of many workers, the last one's last
        youngest = [each for each in youngest if each.key.definition == youngest[-1].key.definition]
    winners = dict.fromkeys(each.key for each in youngest)
    # Streams that one worker has at the same time are no definitions that follow each other.
    together = [{each.key for each in of} for of in by_rank.values() if of[0].worker != FOLDED]
    found: dict[_Key, _Key | None] = {}
    for key in dict.fromkeys(each.key for each in placed):
        found[key] = key
        if key not in winners and not any(key in keys and not keys.isdisjoint(winners) for keys in together):
            same = [winner for winner in winners if winner.definition == key.definition and winner.nth == key.nth]
            found[key] = same[0] if same else None
    return found


class _MergedStream:
    """One stream of all workers."""

    def __init__(self, part: Part, mode: MultiprocessMode) -> None:
        scope_name, version, schema, attributes, name, kind, bounds = part.identity
        scope = InstrumentationScope(scope_name, version, schema, dict(json.loads(attributes)))
        self.stream = Stream(scope, name, part.description, part.unit, kind, bounds)
        self._mode = mode
        self._width = len(bounds) + 1
        self._natives: dict[int, ExponentialState | list[ExponentialState]] = {}
        """A list only where several workers have the series: the garbage collector visits each object that a merge makes."""
        self._lacks_native = False
        """Whether a worker has counted measurements without native buckets."""
        self._positions: dict[str, int] = {}
        self._positions_by_worker: dict[str, tuple[bytes, list[int]]] = {}

    def describe(self, part: Part) -> bool:
        """Takes a worker's help text; returns whether that changed it."""
        changed = self.stream.description != part.description
        self.stream.description = part.description
        return changed

    def clear(self) -> None:
        self.stream.values = [None] * len(self.stream.attributes)
        self.stream.exemplars = {}
        self._natives = {}
        self._lacks_native = False

    def add(self, worker: str, part: Part) -> None:
        """Adds a worker's numbers."""
        labels, positions = self._positions_by_worker.get(worker, (b"[", []))
        if labels != part.labels:
            if not part.labels.startswith(labels.removesuffix(b"]")):
                positions = []  # a folded state that replaced an unreadable one has its series in another order
            self._add_series(positions, part)
            self._positions_by_worker[worker] = (part.labels, positions)
        if self.stream.kind is StreamKind.HISTOGRAM:
            self._histograms(positions, part)
        elif self.stream.kind is StreamKind.EXPONENTIAL:
            self._exponentials(positions, part)
        else:
            self._numbers(positions, part)
        if part.exemplars:
            self._exemplars(positions, part)

    def finish(self, present: set[str], exact: bool) -> None:
        """Makes numbers of the lists of summands, and forgets workers that are not ``present``."""
        final = _partials if exact else _total
        values = self.stream.values
        if self.stream.kind is StreamKind.HISTOGRAM:
            self._finish_histograms(final)
        elif self.stream.kind is StreamKind.EXPONENTIAL:
            for index, states in enumerate(values):
                if states is not None:
                    total = final([summand for state in states for summand in _summands(state.sum)])
                    values[index] = add_exponentials([state._replace(sum=0) for state in states])._replace(sum=total)
        else:
            for index, value in enumerate(values):
                if type(value) is list:
                    values[index] = final(value)
        if not present.issuperset(self._positions_by_worker):
            self._positions_by_worker = {
                worker: known for worker, known in self._positions_by_worker.items() if worker in present
            }

    def _finish_histograms(self, final: Callable[[Sequence[Any]], Any]) -> None:
        """Both forms must count the same measurements: native buckets are shown where every worker has them."""
        values = self.stream.values
        self.stream.native = bool(self._natives) and not self._lacks_native
        for index, state in enumerate(values):
            if state is None:
                continue
            counts, total = state
            if type(total) is list:
                total = final(total)
            if self.stream.native:
                native = self._natives.get(index, _NO_MEASUREMENTS)
                if isinstance(native, list):
                    native = add_exponentials([state._replace(sum=0) for state in native])
                values[index] = (counts, total, native if native.sum is total else native._replace(sum=total))
            elif total is not state[1]:
                values[index] = (counts, total)

    def _add_series(self, positions: list[int], part: Part) -> None:
        """Finds the positions of the worker's new series."""
        stream = self.stream
        for pairs in json.loads(part.labels)[len(positions) :]:
            key = json.dumps(pairs)
            position = self._positions.get(key)
            if position is None:
                position = self._positions[key] = len(stream.attributes)
                stream.attributes.append({name: tuple(v) if type(v) is list else v for name, v in pairs})
                stream.starts.append(None)
                stream.values.append(None)
            start, known = part.starts[len(positions)], stream.starts[position]
            if start >= 0 and (known is None or start < known):
                stream.starts[position] = start
            positions.append(position)

    def _histograms(self, positions: Sequence[int], part: Part) -> None:
        values, counts, width = self.stream.values, part.counts, self._width
        if not part.natives:
            self._lacks_native = self._lacks_native or any(counts)
        for position, total, native in zip(positions, part.values, part.natives, strict=False):
            if total is not None:
                held = self._natives.setdefault(position, native)
                if isinstance(held, list):
                    held.append(native)
                elif held is not native:
                    self._natives[position] = [held, native]
        end = 0
        for position, total in zip(positions, part.values, strict=False):
            start, end = end, end + width
            if total is None:
                continue
            held = values[position]
            if held is None:
                values[position] = (counts[start:end], total)
            else:
                summands = [*_summands(held[1]), *_summands(total)]
                values[position] = (list(map(add, held[0], counts[start:end])), summands)

    def _numbers(self, positions: Sequence[int], part: Part) -> None:
        values, mode = self.stream.values, self._mode
        for position, value in zip(positions, part.values, strict=False):
            if value is None:
                continue
            held = values[position]
            if held is None:
                values[position] = value
            elif mode is MultiprocessMode.SUM or self.stream.kind is StreamKind.COUNTER:
                values[position] = [*_summands(held), *_summands(value)]
            elif mode is MultiprocessMode.MAX:
                values[position] = max(held, value)
            elif mode is MultiprocessMode.MIN:
                values[position] = min(held, value)

    def _exponentials(self, positions: Sequence[int], part: Part) -> None:
        values = self.stream.values
        for position, fields in zip(positions, part.values, strict=False):
            if fields is not None:
                if values[position] is None:
                    values[position] = []
                values[position].append(ExponentialState(*fields))

    def _exemplars(self, positions: Sequence[int], part: Part) -> None:
        found, width = self.stream.exemplars, self._width
        for index, bucket, *fields in part.exemplars:
            position, point = positions[index], ExemplarPoint(*fields)
            if self.stream.kind is StreamKind.EXPONENTIAL:
                keep_newest(self.stream, position, [point])
                continue
            by_bucket: Any = found.get(position)
            if by_bucket is None:
                by_bucket = found[position] = [None] * width
            held = by_bucket[bucket]
            if held is None or held.time_unix_nano <= point.time_unix_nano:
                by_bucket[bucket] = point


def _summands(value: Any) -> Any:
    return value if type(value) is list else (value,)


def _total(parts: Sequence[Any]) -> Any:
    if all(type(part) is int for part in parts):
        return sum(parts)
    try:
        return fsum(parts)
    except (OverflowError, ValueError):  # infinities of both signs, a sum or an integer beyond every float
        return sum(map(_float, parts))


def _partials(parts: Sequence[Any]) -> Any:
    """Non-overlapping numbers with the same exact sum (Shewchuk 1997), as ``fsum`` uses them."""
    if all(type(part) is int for part in parts):
        return sum(parts)
    kept: list[float] = []
    for part in map(_float, parts):
        rest = part
        i = 0
        for other in kept:
            large, small = (rest, other) if abs(rest) >= abs(other) else (other, rest)
            rest = large + small
            if low := small - (rest - large):
                kept[i] = low
                i += 1
        kept[i:] = [rest]
        if not isfinite(rest):  # it has no partial sums
            return sum(map(_float, parts))
    return kept if len(kept) > 1 else kept[0]


def _float(value: float) -> float:
    """Returns an integer beyond every float as infinity."""
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf
