"""The states of several workers as one snapshot.

Sums and histograms are added exactly: the float that is shown is the one nearest to the sum of all parts, so it never falls
when the parts are added in another order. Gauges are combined by their ``MultiprocessMode``; those of ended workers are left
out. Each bucket shows its newest exemplar. A series starts when the first worker's did.
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

from telemetry._base.diagnostics import Diagnostics
from telemetry.metric.definition import MultiprocessMode
from telemetry.metricdata.convert import keep_newest
from telemetry.metricdata.exponential import add_exponential
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, Snapshot, Stream, StreamKind
from telemetry.prefork.snapshot import Part, StreamIdentity, WorkerSnapshot

__all__ = ["Contribution", "Merger"]


class Contribution(NamedTuple):
    """A state to merge, and whether its worker is alive."""

    snapshot: WorkerSnapshot
    alive: bool


class Merger:
    """Merges states. Streams and series keep their places from one snapshot to the next: the encoder caches them.

    Calls must not overlap.

    Args:
        multiprocess_modes: Instrument name -> how gauges are combined; others are summed.
    """

    def __init__(self, multiprocess_modes: Mapping[str, MultiprocessMode], diagnostics: Diagnostics | None = None) -> None:
        self._multiprocess_modes = multiprocess_modes
        self._streams: dict[tuple[StreamIdentity, int], _MergedStream] = {}

    def merge(self, resource: Resource | None, contributions: Sequence[Contribution], *, exact: bool = False) -> Snapshot:
        """Returns the totals.

        Args:
            resource: The snapshot's resource.
            contributions: The states.
            exact: Whether a value may be a list that stands for its exact sum: for a state, not for a body.
        """
        for merged in self._streams.values():
            merged.clear()
        for snapshot, alive in contributions:
            seen: Counter[StreamIdentity] = Counter()
            for part in snapshot.parts:
                seen[part.identity] += 1
                if alive or part.identity.kind is not StreamKind.GAUGE:
                    self._stream(part, seen[part.identity]).add(snapshot.worker, part)
        present = {contribution.snapshot.worker for contribution in contributions}
        for merged in self._streams.values():
            merged.finish(present, exact)
        return Snapshot(resource, [merged.stream for merged in self._streams.values()])

    def _stream(self, part: Part, nth: int) -> _MergedStream:
        """The stream that the part belongs to; of equal streams in one worker, the n-th belongs to the n-th of the others."""
        key = (part.identity, nth)
        merged = self._streams.get(key)
        if merged is None:
            mode = self._multiprocess_modes.get(part.identity.name, MultiprocessMode.SUM)
            merged = self._streams[key] = _MergedStream(part, mode)
        return merged


class _MergedStream:
    """One stream of all workers."""

    def __init__(self, part: Part, mode: MultiprocessMode) -> None:
        scope_name, version, schema, attributes, name, kind, bounds = part.identity
        scope = InstrumentationScope(scope_name, version, schema, dict(json.loads(attributes)))
        self.stream = Stream(scope, name, part.description, part.unit, kind, bounds)
        self._mode = mode
        self._width = len(bounds) + 1
        self._positions: dict[str, int] = {}
        self._positions_by_worker: dict[str, list[int]] = {}

    def clear(self) -> None:
        self.stream.values = [None] * len(self.stream.attributes)
        self.stream.exemplars = {}

    def add(self, worker: str, part: Part) -> None:
        """Adds a worker's numbers."""
        positions = self._positions_by_worker.setdefault(worker, [])
        if len(positions) < part.series:
            self._add_series(positions, part)
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
            for index, state in enumerate(values):
                if state is not None and type(state[1]) is list:
                    values[index] = (state[0], final(state[1]))
        else:
            for index, value in enumerate(values):
                if type(value) is list:
                    values[index] = final(value)
        if not present.issuperset(self._positions_by_worker):
            self._positions_by_worker = {
                worker: known for worker, known in self._positions_by_worker.items() if worker in present
            }

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
    except (OverflowError, ValueError):  # infinities of both signs, or a sum beyond every float
        return sum(parts)


def _partials(parts: Sequence[Any]) -> Any:
    """Non-overlapping numbers with the same exact sum (Shewchuk 1997), as ``fsum`` uses them."""
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
