"""One worker's state as bytes: what is saved, handed out, folded and merged.

``version line | digest | length of the head | head (JSON) | blocks``. The digest covers all behind it, so what was torn or
changed is never read as numbers. Label texts are apart from the numbers: whoever knows a worker's series reads those only.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

from telemetry.metricdata.stream import ExemplarPoint, Snapshot, Stream, StreamKind

__all__ = ["Encoder", "Part", "StateError", "WorkerSnapshot", "decode"]

_VERSION = b"agentos-telemetry-state 1\n"
_DIGEST = 16
_LENGTH = struct.Struct("<I")
_HEAD = len(_VERSION) + _DIGEST + _LENGTH.size
_PIECE = 128
_NO_START = -1


class StateError(ValueError):
    """Bytes that are no state of ours. ``reason``: ``torn``, or ``foreign`` for what another version or program wrote."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"a worker's state is {reason}")
        self.reason = reason


class Part(NamedTuple):
    """One stream of one worker; what is said of series runs in parallel."""

    about: tuple[Any, ...]
    """What makes it the same stream in another worker: scope, name, kind and bounds."""
    description: str
    unit: str
    series: int
    labels: bytes
    """JSON list of the series' attributes, each a list of pairs."""
    starts: Sequence[int]
    values: Sequence[Any]
    """Numbers (a histogram: its sum); a list of numbers stands for their exact sum, None for a series that is not there."""
    counts: Sequence[int]
    """Of a histogram: its buckets, one series after the other."""
    exemplars: Sequence[Sequence[Any]]
    """Series, bucket, and the fields of ``ExemplarPoint``."""


class WorkerSnapshot(NamedTuple):
    """The state of one worker, or the folded one of those that ended."""

    run: str
    worker: str
    absorbed: Sequence[str]
    """Workers whose states are part of this one although their files may still be there."""
    parts: Sequence[Part]


class Encoder:
    """Readings -> bytes. Keeps the label texts of the streams it has seen."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._texts: dict[Stream, list[str]] = {}

    def encode(
        self, snapshot: Snapshot, worker: str, *, absorbed: Sequence[str] = (), yield_gil: Callable[[], None] = lambda: None
    ) -> bytes:
        """The state of ``worker``; ``yield_gil`` is called between the pieces of long streams."""
        heads: list[Any] = []
        blocks: list[bytes] = []
        for stream in snapshot.streams:
            head, new = self._stream(stream, yield_gil)
            heads.append([*head, [len(block) for block in new]])
            blocks += new
        text = _json([self._run, worker, list(absorbed), heads])
        body = b"".join((_LENGTH.pack(len(text)), text, *blocks))
        return b"".join((_VERSION, blake2b(body, digest_size=_DIGEST).digest(), body))

    def _stream(self, stream: Stream, yield_gil: Callable[[], None]) -> tuple[list[Any], list[bytes]]:
        scope, series = stream.scope, len(stream.attributes)
        values: list[Any] = []
        counts = array("Q")
        exemplars: list[Any] = []
        for start in range(0, series, _PIECE):
            if start:
                yield_gil()
            states, marks = stream.slice(start, min(start + _PIECE, series), exemplars=True)
            if stream.kind is StreamKind.HISTOGRAM:
                nothing = (bytes(len(stream.bounds) + 1), None)
                for buckets, total in (nothing if state is None else state for state in states):
                    counts.extend(buckets)
                    values.append(total)
            else:
                values += states
            if marks:
                exemplars += _rows(marks, start, start + len(states))
        starts = array("q", [_NO_START if start is None else start for start in stream.starts[:series]])
        about = [scope.name, scope.version, scope.schema_url, _pairs(scope.attributes), stream.name, stream.kind.name]
        head = [about, list(stream.bounds), stream.description, stream.unit, series]
        return head, [self._labels(stream, series), starts.tobytes(), _json(values), counts.tobytes(), _json(exemplars)]

    def _labels(self, stream: Stream, series: int) -> bytes:
        texts = self._texts.setdefault(stream, [])
        texts += (json.dumps(_pairs(attributes), default=str) for attributes in islice(stream.attributes, len(texts), series))
        return f"[{','.join(texts)}]".encode()


def decode(data: bytes) -> WorkerSnapshot:
    """The state in these bytes. Raises ``StateError``."""
    if not data.startswith(_VERSION):
        raise StateError("torn" if _VERSION.startswith(data[: len(_VERSION)]) else "foreign")
    body = memoryview(data)[len(_VERSION) + _DIGEST :]
    if blake2b(body, digest_size=_DIGEST).digest() != data[len(_VERSION) : len(_VERSION) + _DIGEST]:
        raise StateError("torn")
    try:
        end = _HEAD + _LENGTH.unpack_from(body)[0]
        run, worker, absorbed, heads = json.loads(data[_HEAD:end])
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
    about, bounds, description, unit, series, _ = head
    name, version, schema, attributes, stream, kind = about
    labels, starts, values, counts, exemplars = blocks
    key = (name, version, schema, _json(attributes), stream, StreamKind[kind], tuple(bounds))
    times, buckets = array("q", starts), array("Q", counts)
    return Part(key, description, unit, series, labels, times, json.loads(values), buckets, json.loads(exemplars))


def _rows(marks: Mapping[int, Sequence[ExemplarPoint | None]], start: int, stop: int) -> list[Any]:
    return [
        [index, bucket, *point]
        for index in range(start, stop)
        for bucket, point in enumerate(marks.get(index) or ())
        if point is not None
    ]


def _pairs(attributes: Mapping[str, Any] | None) -> list[Any]:
    """Sorted, so that the same labels are the same text in every worker."""
    return sorted((attributes or {}).items())


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    """Attributes are mappings of the SDK's own; numbers may be those of a numeric library."""
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
