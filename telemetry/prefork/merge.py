"""The states of several workers as one reading.

Sums and histograms add up, exactly: the float that is shown is the one nearest to the sum of all parts, so it never falls
when parts are put together in another order. Gauges follow the catalogue's rule (``MultiprocessMode``), and those of workers
that have ended are gone. Exemplars: the newest of each bucket. A series began when the first worker's did.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from math import fsum
from operator import add
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry.metric.definition import MultiprocessMode
from telemetry.metricdata.convert import keep_newest
from telemetry.metricdata.exponential import add_exponential
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, Snapshot, Stream, StreamKind
from telemetry.prefork.snapshot import Part, WorkerSnapshot

__all__ = ["Contribution", "Merger"]


class Contribution(NamedTuple):
    """A state to be merged."""

    snapshot: WorkerSnapshot
    alive: bool


class Merger:
    """Keeps its streams and series from one reading to the next, as the encoder wants it. One call at a time.

    ``multiprocess_mode``: instrument name -> rule for gauges; sums where it names none.
    """

    def __init__(self, multiprocess_modes: Mapping[str, MultiprocessMode]) -> None:
        self._multiprocess_modes = multiprocess_modes
        self._streams: dict[tuple[Any, ...], _Merged] = {}

    def merge(self, resource: Resource | None, contributions: Sequence[Contribution], *, exact: bool = False) -> Snapshot:
        """All of it. With ``exact`` numbers may be lists whose sum is meant: what a state keeps and a body does not."""
        for merged in self._streams.values():
            merged.clear()
        for snapshot, alive in contributions:
            seen: Counter[tuple[Any, ...]] = Counter()
            for part in snapshot.parts:
                seen[part.about] += 1
                if alive or part.about[5] is not StreamKind.GAUGE:
                    self._stream(part, seen[part.about]).take(snapshot.worker, part)
        present = {contribution.snapshot.worker for contribution in contributions}
        for merged in self._streams.values():
            merged.finish(present, exact)
        return Snapshot(resource, [merged.stream for merged in self._streams.values()])

    def _stream(self, part: Part, nth: int) -> _Merged:
        """Of two streams that are alike within a worker, the n-th is the n-th of the others, too."""
        key = (*part.about, nth)
        merged = self._streams.get(key)
        if merged is None:
            merged = self._streams[key] = _Merged(part, self._multiprocess_modes.get(part.about[4], MultiprocessMode.SUM))
        return merged


class _Merged:
    """One stream of all workers."""

    def __init__(self, part: Part, rule: MultiprocessMode) -> None:
        name, version, schema, attributes, stream, kind, bounds = part.about
        scope = InstrumentationScope(name, version, schema, dict(json.loads(attributes)))
        self.stream = Stream(scope, stream, part.description, part.unit, kind, bounds)
        self._rule = rule
        self._width = len(bounds) + 1
        self._positions: dict[str, int] = {}
        self._of_worker: dict[str, list[int]] = {}

    def clear(self) -> None:
        self.stream.values = [None] * len(self.stream.attributes)
        self.stream.exemplars = {}

    def take(self, worker: str, part: Part) -> None:
        """Add a worker's numbers."""
        positions = self._of_worker.setdefault(worker, [])
        if len(positions) < part.series:
            self._learn(positions, part)
        if self.stream.kind is StreamKind.HISTOGRAM:
            self._histograms(positions, part)
        elif self.stream.kind is StreamKind.EXPONENTIAL:
            self._exponentials(positions, part)
        else:
            self._numbers(positions, part)
        if part.exemplars:
            self._exemplars(positions, part)

    def finish(self, present: set[str], exact: bool) -> None:
        """Make numbers of what was added up, and forget workers that are gone."""
        final = _partials if exact else _total
        values = self.stream.values
        if self.stream.kind is StreamKind.HISTOGRAM:
            for index, state in enumerate(values):
                if state is not None and type(state[1]) is list:
                    values[index] = (state[0], final(state[1]))
        else:
            for index, value in enumerate(values):
                if type(value) is list:
                    values[index] = final(value)
        if not present.issuperset(self._of_worker):
            self._of_worker = {worker: known for worker, known in self._of_worker.items() if worker in present}

    def _learn(self, positions: list[int], part: Part) -> None:
        """Where the series of this worker are, for those that came since the last time."""
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
        end = 0
        for position, total in zip(positions, part.values, strict=False):
            start, end = end, end + width
            if total is None:
                continue
            held = values[position]
            if held is None:
                values[position] = (counts[start:end], total)
            else:
                values[position] = (list(map(add, held[0], counts[start:end])), [*_list(held[1]), *_list(total)])

    def _numbers(self, positions: Sequence[int], part: Part) -> None:
        values, rule = self.stream.values, self._rule
        for position, value in zip(positions, part.values, strict=False):
            if value is None:
                continue
            held = values[position]
            if held is None:
                values[position] = value
            elif rule is MultiprocessMode.SUM or self.stream.kind is StreamKind.COUNTER:
                values[position] = [*_list(held), *_list(value)]
            elif rule is MultiprocessMode.MAX:
                values[position] = max(held, value)

    def _exponentials(self, positions: Sequence[int], part: Part) -> None:
        values = self.stream.values
        for position, fields in zip(positions, part.values, strict=False):
            if fields is not None:
                state = ExponentialState(*fields)
                held = values[position]
                values[position] = state if held is None else add_exponential(held, state)

    def _exemplars(self, positions: Sequence[int], part: Part) -> None:
        found, width = self.stream.exemplars, self._width
        for index, bucket, *fields in part.exemplars:
            position, point = positions[index], ExemplarPoint(*fields)
            if self.stream.kind is StreamKind.EXPONENTIAL:
                keep_newest(self.stream, position, [point])
                continue
            marks: Any = found.get(position)
            if marks is None:
                marks = found[position] = [None] * width
            held = marks[bucket]
            if held is None or held.time_unix_nano <= point.time_unix_nano:
                marks[bucket] = point


def _list(value: Any) -> Any:
    return value if type(value) is list else (value,)


def _total(parts: Sequence[Any]) -> Any:
    if all(type(part) is int for part in parts):
        return sum(parts)
    try:
        return fsum(parts)
    except (OverflowError, ValueError):  # infinities of both signs, or a sum beyond every float
        return sum(parts)


def _partials(parts: Sequence[Any]) -> Any:
    """Numbers that do not overlap with the same exact sum (Shewchuk 1997): what ``fsum`` works with inside."""
    if all(type(part) is int for part in parts):
        return sum(parts)
    kept: list[float] = []
    for part in map(float, parts):
        rest = part
        i = 0
        for other in kept:
            large, small = (rest, other) if abs(rest) >= abs(other) else (other, rest)
            rest = large + small
            if low := small - (rest - large):
                kept[i] = low
                i += 1
        kept[i:] = [rest]
    return kept if len(kept) > 1 else kept[0]
