"""One worker's state as bytes, to be saved, handed out, folded and merged.

``version line | digest | length of the head | head (JSON) | blocks``. The digest covers everything after it, so torn or changed
bytes are never read as numbers. Labels have blocks of their own: a merger that knows a worker's series reads only the numbers.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, Snapshot, Stream, StreamKind

__all__ = ["Encoder", "Part", "StateError", "WorkerSnapshot", "decode"]

_VERSION = b"agentos-telemetry-state 2\n"
_DIGEST_BYTES = 16
_LENGTH = struct.Struct("<I")
_HEAD_OFFSET = len(_VERSION) + _DIGEST_BYTES + _LENGTH.size
_SERIES_PER_PIECE = 128
_NO_START = -1
_EMPTY = ExponentialState(0, 0, 0, 0, (), 0, (), 0.0)
"""The native buckets of a series that has no value."""


class StateError(ValueError):
    """Bytes that are not a valid state.

    Args:
        reason: ``torn``, or ``foreign`` where another version or program wrote the bytes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"a worker's state is {reason}")
        self.reason = reason


class StreamIdentity(NamedTuple):
    """The scope and the stream that a part belongs to."""

    scope_name: str
    scope_version: str | None
    scope_schema_url: str | None
    scope_attributes: bytes
    """JSON list of pairs."""
    name: str
    kind: StreamKind
    bounds: tuple[float, ...]


class Part(NamedTuple):
    """One stream of one worker. ``starts`` and ``values`` have one item for each series."""

    identity: StreamIdentity
    """Equal for the same stream of another worker."""
    description: str
    unit: str
    series: int
    labels: bytes
    """JSON list of the series' attributes, each a list of pairs."""
    starts: Sequence[int]
    values: Sequence[Any]
    """Numbers, for a histogram its sum; a list of numbers stands for their exact sum, None for a series without a value."""
    counts: Sequence[int]
    """A histogram's buckets, one series after the other."""
    natives: Sequence[ExponentialState]
    """The native buckets of each series, if the histogram has them. Their sum is that of ``values``; 0 where that is a list."""
    exemplars: Sequence[Sequence[Any]]
    """Series, bucket, and the fields of ``ExemplarPoint``."""


class WorkerSnapshot(NamedTuple):
    """The state of one worker, or the folded one of the workers that ended."""

    run: str
    worker: str
    absorbed: Sequence[str]
    """Workers whose states are part of this one, although their files may still exist."""
    parts: Sequence[Part]


class Encoder:
    """Snapshots -> bytes. Caches the labels of the streams that it has encoded."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._texts: dict[Stream, list[str]] = {}

    def encode(
        self, snapshot: Snapshot, worker: str, *, absorbed: Sequence[str] = (), yield_gil: Callable[[], None] = lambda: None
    ) -> bytes:
        """Returns the state of ``worker``; ``yield_gil`` is called between the pieces of long streams."""
        heads: list[Any] = []
        blocks: list[bytes] = []
        for stream in snapshot.streams:
            head, new = self._stream(stream, yield_gil)
            heads.append([*head, [len(block) for block in new]])
            blocks += new
        text = _json([self._run, worker, list(absorbed), heads])
        body = b"".join((_LENGTH.pack(len(text)), text, *blocks))
        return b"".join((_VERSION, blake2b(body, digest_size=_DIGEST_BYTES).digest(), body))

    def _stream(self, stream: Stream, yield_gil: Callable[[], None]) -> tuple[list[Any], list[bytes]]:
        scope, series = stream.scope, len(stream.attributes)
        values: list[Any] = []
        counts = array("Q")
        natives = array("q")
        thresholds = array("d")
        exemplars: list[Any] = []
        for start in range(0, series, _SERIES_PER_PIECE):
            if start:
                yield_gil()
            states, marks = stream.slice(start, min(start + _SERIES_PER_PIECE, series), exemplars=True, native=True)
            if stream.kind is StreamKind.HISTOGRAM:
                absent = (bytes(len(stream.bounds) + 1), None, _EMPTY)
                for buckets, total, *native in (absent if state is None else state for state in states):
                    counts.extend(buckets)
                    values.append(total)
                    if stream.native:
                        _add_native(natives, native[0])
                        thresholds.append(native[0].zero_threshold)
            else:
                values += states
            if marks:
                exemplars += _rows(marks, start, start + len(states))
        starts = array("q", [_NO_START if start is None else start for start in stream.starts[:series]])
        identity = [scope.name, scope.version, scope.schema_url, _pairs(scope.attributes), stream.name, stream.kind.name]
        head = [identity, list(stream.bounds), stream.description, stream.unit, series]
        numbers = [_json(values), counts.tobytes(), natives.tobytes(), thresholds.tobytes(), _json(exemplars)]
        return head, [self._labels(stream, series), starts.tobytes(), *numbers]

    def _labels(self, stream: Stream, series: int) -> bytes:
        texts = self._texts.setdefault(stream, [])
        texts += (json.dumps(_pairs(attributes), default=str) for attributes in islice(stream.attributes, len(texts), series))
        return f"[{','.join(texts)}]".encode()


def decode(data: bytes) -> WorkerSnapshot:
    """Returns the state in these bytes. Raises ``StateError``."""
    if not data.startswith(_VERSION):
        raise StateError("torn" if _VERSION.startswith(data[: len(_VERSION)]) else "foreign")
    body = memoryview(data)[len(_VERSION) + _DIGEST_BYTES :]
    if blake2b(body, digest_size=_DIGEST_BYTES).digest() != data[len(_VERSION) : len(_VERSION) + _DIGEST_BYTES]:
        raise StateError("torn")
    try:
        end = _HEAD_OFFSET + _LENGTH.unpack_from(body)[0]
        run, worker, absorbed, heads = json.loads(data[_HEAD_OFFSET:end])
        parts = []
        for head in heads:
            blocks = []
            for length in head[-1]:
                blocks.append(data[end : end + length])
                end += length
            parts.append(_part(head, blocks))
    except (ValueError, TypeError, LookupError, struct.error) as error:
        raise StateError("foreign") from error
    return WorkerSnapshot(run, worker, absorbed, parts)


def _part(head: Sequence[Any], blocks: Sequence[bytes]) -> Part:
    (name, version, schema, attributes, stream, kind), bounds, description, unit, series, _ = head
    labels, starts, values, counts, natives, thresholds, exemplars = blocks
    identity = StreamIdentity(name, version, schema, _json(attributes), stream, StreamKind[kind], tuple(bounds))
    times, buckets = array("q", starts), array("Q", counts)
    sums = json.loads(values)
    exponential = _natives(array("q", natives), array("d", thresholds), sums)
    return Part(identity, description, unit, series, labels, times, sums, buckets, exponential, json.loads(exemplars))


def _add_native(numbers: array[int], state: ExponentialState) -> None:
    """Appends scale, size, zeros, offset and length of either side, and the counts of both."""
    positive, negative = state.positive, state.negative
    numbers.extend((state.scale, state.max_size, state.zero_count))
    numbers.extend((state.positive_offset, len(positive), state.negative_offset, len(negative)))
    numbers.extend(positive)
    numbers.extend(negative)


def _natives(numbers: array[int], thresholds: array[float], sums: Sequence[Any]) -> list[ExponentialState]:
    """Returns what ``_add_native`` has appended."""
    states = []
    end = 0
    for threshold, total in zip(thresholds, sums, strict=False):
        scale, size, zeros, first, length, negative_first, negative_length = numbers[end : end + 7]
        middle = end + 7 + length
        positive, end = numbers[end + 7 : middle], middle + negative_length
        negative = numbers[middle:end]
        known = 0 if total is None or type(total) is list else total
        states.append(ExponentialState(scale, known, zeros, first, positive, negative_first, negative, threshold, size))
    return states


def _rows(marks: Mapping[int, Sequence[ExemplarPoint | None]], start: int, stop: int) -> list[Any]:
    return [
        [index, bucket, *point]
        for index in range(start, stop)
        for bucket, point in enumerate(marks.get(index) or ())
        if point is not None
    ]


def _pairs(attributes: Mapping[str, Any] | None) -> list[Any]:
    """Sorted pairs: the same labels are the same text in every worker."""
    return sorted((attributes or {}).items())


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=_json_value).encode()


def _json_value(value: Any) -> Any:
    """Converts the SDK's own mappings, and scalars of numeric libraries."""
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
