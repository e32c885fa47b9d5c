"""Families -> messages of ``io.prometheus.client.MetricFamily``, each behind its length as a varint.

A family is one message, however many series it has: programs that keep families by name, as the Pushgateway does, would keep
the last of several alone. Native histograms are the exception where Prometheus' parser reads them (``_split``), which takes
several. The length stands before the message, and a large family is not held whole. So the series that follow the first
``HELD`` bytes are encoded twice: once for their size, once for the body. Their state may change in between. The declared length
has a margin, and what is left of it is filled by repeating the family's type, of which every decoder takes the last. Series
that outgrow the margin lose their exemplars first.

What never changes of a series, its start and its labels, is encoded once.

https://github.com/prometheus/client_model/blob/v0.6.3/io/prometheus/client/metrics.proto
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, chain
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple
from zlib import compress, decompress

from telemetry.exposition.encoding import Series, Style, has_exemplars, sample_names, series_at
from telemetry.exposition.exemplars import exemplar_labels, newest_by_bucket
from telemetry.exposition.families import Families, Family, FamilyStream
from telemetry.exposition.protobuf_fields import (
    LANE,
    VARINTS,
    double,
    doubles,
    exemplar,
    label_pairs,
    message,
    sint,
    text,
    timestamp,
    varint,
    varint_lanes,
)
from telemetry.metricdata.exponential import explicit
from telemetry.metricdata.native import NativeHistogram, Spans, native
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, StreamKind

__all__ = ["HELD", "messages", "native_fields"]

HELD = 1 << 15
"""Bytes of a family's series that are held until the length of its message is known."""
_AT_ONCE = 96
"""Series that are encoded at once: fewer take more time, more take more memory."""
_MARKED_AT_ONCE = 32
"""The same with exemplars: so few new objects at a time do not start the garbage collector."""
_MARGIN = 1 << 12
_GROWTH = 16
"""By how much a count may grow between the two readings of a series."""
_FILLED_AT_ONCE = 1 << 14
_USUAL_EXEMPLAR = 102
"""Size of an exemplar with a trace, a span and no attributes, or a little more."""

_METRIC = b"\x22"
_GAUGE, _COUNTER, _HISTOGRAM = b"\x12", b"\x1a", b"\x3a"
_COUNTER_START, _HISTOGRAM_START = 0x1A, 0x7A


def messages(families: Families, shown: Sequence[Family], style: Style) -> Iterator[bytes]:
    """Yields the body, some series at a time; a family without series has no message.

    A family is shown whole where one of its sample names is asked for, or the name of its native histograms.
    """
    for family in shown:
        if style.names and not {family.text_name, *sample_names(family, openmetrics=False)}.intersection(style.names):
            continue
        if family is families.target:
            if pairs := families.target_labels():
                metric = label_pairs(pairs) + message(_GAUGE[0], b"\x09" + double(1))
                yield from _delimited(_head(family), message(_METRIC[0], metric))
        elif any(StreamKind.EXPONENTIAL is member.stream.kind or member.stream.native for member in family.members):
            yield from _split(families, family, style) if style.split else _held(families, family, style)
        else:
            yield from _streamed(families, family, style)


def _read(chunk: _Chunk, style: Style) -> list[Series]:
    return chunk.series(exemplars=has_exemplars(chunk.member, style))


def _delimited(head: bytes, *parts: bytes) -> Iterator[bytes]:
    if any(parts):
        yield varint(len(head) + sum(map(len, parts))) + head
        yield from parts


def _held(families: Families, family: Family, style: Style) -> Iterator[bytes]:
    """The message of a family with native histograms, whose growth has no useful bound. Compressed, it takes little memory."""
    head, held, packed, length = _head(family), [], [], 0
    for chunk in _chunks(families, family):
        part = _encoded(chunk, _read(chunk, style))
        length += len(part)
        if length <= HELD:
            held.append(part)
        else:
            packed.append(compress(part, 1))
    if length:
        yield varint(len(head) + length) + head
    yield from held
    held.clear()
    yield from map(decompress, packed)


def _split(families: Families, family: Family, style: Style) -> Iterator[bytes]:
    """Messages of one family with native histograms: each with exemplars has its own, so that Prometheus 3.16 reads them all.

    Its parser looks for a native histogram's exemplars where those of the message's last one ended.
    """
    head = _head(family)
    for chunk in _chunks(families, family):
        series = _read(chunk, style)
        yield from _delimited(head, _encoded(chunk, [one for one in series if not _is_marked(one)]))
        for one in filter(_is_marked, series):
            yield from _delimited(head, _encoded(chunk, [one]))


def _is_marked(one: Series) -> bool:
    return one[3] is not None and any(one[3])


def _streamed(families: Families, family: Family, style: Style) -> Iterator[bytes]:
    """The message of a family whose series have a size that hardly changes."""
    head, held, length = _head(family), [], 0
    chunks = _chunks(families, family)
    for chunk in chunks:
        held.append(_encoded(chunk, _read(chunk, style)))
        length += len(held[-1])
        if length >= HELD:
            break
    rest = [_measured(chunk, style) for chunk in chunks]
    if not rest:
        yield from _delimited(head, *held)
        return
    yield varint(len(head) + length + sum(each.size for each in rest) + _MARGIN) + head
    yield from held
    held.clear()
    room = _MARGIN - 2  # what fills the message has at least two bytes
    for each in rest:
        room += each.size
        part = _fitted(each.chunk, _read(each.chunk, style), each.width, room)
        room -= len(part)
        yield part
    yield from _filling(_type(family), room + 2)


def _filling(type_: int, length: int) -> Iterator[bytes]:
    """Yields the field ``type`` again and again."""
    if length & 1:
        yield bytes((0x18, type_ | 0x80, 0))
        length -= 3
    while length:
        part = min(length, _FILLED_AT_ONCE)
        yield bytes((0x18, type_)) * (part >> 1)
        length -= part


@dataclass(slots=True)
class _Known:
    """What is known of a stream's series from one scrape to the next.

    Attributes:
        texts: Their label texts; where the family has others, this is made anew.
        starts: Their starts, which move back where an older worker's state is found.
        parts: Their constant parts: ``start_timestamp``, the last field of counter or histogram, then the labels.
        heads: What stands before the value of a counter or gauge without exemplar.
        marked: Whether a series has had an exemplar.
    """

    texts: list[str | None]
    starts: list[int | None] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    marked: bool = False


class _Chunk(NamedTuple):
    """Some series of a stream in its family."""

    families: Families
    member: FamilyStream
    known: _Known
    start: int
    stop: int

    def series(self, *, exemplars: bool) -> list[Series]:
        """Returns the series that are shown, as they are now."""
        texts = self.known.texts[self.start : self.stop]
        series = series_at(self.member.stream, self.start, texts, exemplars=exemplars, native=True)
        if exemplars and not self.known.marked:
            self.known.marked = _have_exemplars(series)
        return series

    def constant(self) -> Sequence[bytes]:
        """Returns the constant parts of the stream's series, up to the chunk's end at least."""
        known, stream, type_ = self.known, self.member.stream, self.member.family.type
        start = min(self.start, len(known.parts))
        starts = stream.starts[start : self.stop]
        if known.starts[start : self.stop] != starts:
            tag = {"histogram": _HISTOGRAM_START, "counter": _COUNTER_START}.get(type_)
            known.parts[start : self.stop] = [
                (b"" if began is None or tag is None else message(tag, timestamp(began)))
                + (b"" if known.texts[index] is None else label_pairs(self.families.labels(self.member, index)))
                for index, began in enumerate(starts, start)
            ]
            known.starts[start : self.stop] = starts
            if type_ != "histogram":
                known.heads[start : self.stop] = [
                    _number_head(
                        len(rest), 0 if began is None or tag is None else rest[1] + 2, _GAUGE if tag is None else _COUNTER
                    )
                    + b"\x09"
                    for rest, began in zip(known.parts[start : self.stop], starts, strict=True)
                ]
        return known.parts


def _have_exemplars(series: Sequence[Series]) -> bool:
    return any(map(itemgetter(3), series))


class _Measured(NamedTuple):
    """Some series whose size is known.

    Attributes:
        chunk: The series.
        size: The size of the encoded series, or a little more.
        width: Bytes of each count of a classic histogram; 0 where they may differ.
    """

    chunk: _Chunk
    size: int
    width: int = 0


def _chunks(families: Families, family: Family) -> Iterator[_Chunk]:
    for member in family.members:
        known = member.cache
        if not isinstance(known, _Known) or known.texts is not member.texts:
            known = member.cache = _Known(member.texts)
        size = _MARKED_AT_ONCE if known.marked else _AT_ONCE
        end = len(known.texts)
        for start in range(0, end, size):
            yield _Chunk(families, member, known, start, min(start + size, end))


def _type(family: Family) -> int:
    return {"counter": 0, "histogram": 4}.get(family.type, 1)


def _head(family: Family) -> bytes:
    """The fields before the series. A counter's name has ``_total`` and an info is a gauge, as in text 0.0.4."""
    name = text(0x0A, family.name if family.type == "histogram" else family.text_name)
    help_ = text(0x12, family.help.replace("\0", "?")) if family.help else b""
    return name + help_ + bytes((0x18, _type(family))) + (text(0x2A, family.unit) if family.unit else b"")


def _fitted(chunk: _Chunk, series: list[Series], width: int, room: int) -> bytes:
    """Encodes the series into at most ``room`` bytes: without exemplars, or without series, where they are more by now."""
    encoded = _encoded(chunk, series, width)
    if len(encoded) > room:
        series = [(index, label_text, state, None) for index, label_text, state, _ in series]
        encoded = _encoded(chunk, series, width)
    if len(encoded) > room:
        # Series that had no state when the sizes were added up: the next scrape has them.
        kept = []
        for one in series:
            part = _encoded(chunk, [one], width)
            if len(part) <= room:
                kept.append(part)
                room -= len(part)
        return b"".join(kept)
    return encoded


def _measured(chunk: _Chunk, style: Style) -> _Measured:
    """Returns the size of the series. Exemplars are looked for only where the stream has had one: that takes time.

    A first exemplar has to find room, or waits for the next scrape.
    """
    series = chunk.series(exemplars=chunk.known.marked and has_exemplars(chunk.member, style))
    if not series:
        return _Measured(chunk, 0)
    value, width = 11, 0
    if chunk.member.stream.kind is StreamKind.HISTOGRAM:
        width = len(varint(_GROWTH * (max(map(sum, [state[0] for _, _, state, _ in series])) + 1)))
        value = 10 + width + (12 + width) * len(chunk.member.stream.bounds)
        value += 1 + len(varint(value + 16))
    constant = chunk.constant()
    lengths = [len(constant[index]) for index, _, _, _ in series]
    size = sum(lengths) + len(series) * (1 + len(varint(value + max(lengths))) + value)
    for exemplars in filter(None, map(itemgetter(3), series)):
        size += 16 + width + sum([_exemplar_size(point) for point in exemplars if point is not None])
    return _Measured(chunk, size, width)


def _exemplar_size(point: ExemplarPoint) -> int:
    """Returns the size of the field ``exemplar``, or a little more."""
    return _USUAL_EXEMPLAR if _is_usual(point) else len(_exemplar(point)) + 8


def _encoded(chunk: _Chunk, series: Sequence[Series], width: int = 0) -> bytes:
    kind = chunk.member.stream.kind
    if kind is StreamKind.HISTOGRAM:
        return b"".join(_histograms(chunk, series, width))
    return b"".join(_exponentials(chunk, series) if kind is StreamKind.EXPONENTIAL else _numbers(chunk, series))


def _numbers(chunk: _Chunk, series: Sequence[Series]) -> list[bytes]:
    """Counters, gauges and infos."""
    constant, heads = chunk.constant(), chunk.known.heads
    info = chunk.member.family.type == "info"
    values = doubles([1 if info else state for _, _, state, _ in series])
    parts: list[bytes] = []
    start = 0
    for index, _, _, exemplars in series:
        value, start = values[start : start + 8], start + 8
        head, rest = heads[index], constant[index]
        if exemplars and exemplars[0] is not None:
            mark = message(0x12, _exemplar(exemplars[0]))
            began = 0 if chunk.member.stream.starts[index] is None else rest[1] + 2
            head = _number_head(len(rest) + len(mark), began + len(mark), _COUNTER) + mark + b"\x09"
        parts += (head, value, rest)
    return parts


@lru_cache(maxsize=4096)
def _number_head(rest: int, began: int, field: bytes) -> bytes:
    """What stands before an exemplar and the value.

    Args:
        rest: The length of what follows the value, with the exemplar.
        began: The length of the start in it, with the exemplar.
        field: The tag of the message.
    """
    length = varint(9 + began)
    return b"%b%b%b%b" % (_METRIC, varint(10 + len(length) + rest), field, length)


def _histograms(chunk: _Chunk, series: Sequence[Series], width: int) -> list[bytes]:
    """Returns the series in parts. The same record begins each; its numbers are set for all series at once.

    Args:
        chunk: Where the series are.
        series: The series.
        width: Bytes of each count; 0: as many as the largest needs. A count that needs more stays the largest that fits.
    """
    bounds, constant, starts = chunk.member.stream.bounds, chunk.constant(), chunk.member.stream.starts
    numbers = list(chain.from_iterable(map(accumulate, [state[0] for _, _, state, _ in series])))
    largest = max(numbers[len(bounds) :: len(bounds) + 1], default=0)
    width = width or len(varint(largest))
    if width > LANE:
        return _wide_histograms(chunk, series)
    if largest >= 1 << 7 * width:
        numbers = [min(number, (1 << 7 * width) - 1) for number in numbers]
    records = _records(bounds, varint_lanes(numbers, width), width, doubles([state[1] for _, _, state, _ in series]))
    size = 10 + width + (12 + width) * len(bounds)
    native_too, varints = chunk.member.stream.native, VARINTS
    parts: list[bytes] = []
    start = 0
    for index, _, state, exemplars in series:
        rest, record = constant[index], records[start : (start := start + size)]
        if exemplars:
            record = _with_exemplars(record, exemplars, len(bounds), width)
        if native_too:
            record += _native_of(state)
        length = varints[len(record) if starts[index] is None else len(record) + 2 + rest[1]]
        parts += (_METRIC, varints[1 + len(length) + len(record) + len(rest)], _HISTOGRAM, length, record, rest)
    return parts


def _native_of(state: Sequence[Any]) -> bytes:
    """The native form of a state that has one. The later ``sample_count`` counts, where the two forms were read apart."""
    form = native(state[2]) if len(state) > 2 else None
    if form is None:
        return b""
    count = form.measurements
    return native_fields(form) + (b"\x08" + VARINTS[count] if count != sum(state[0]) else b"")


def _with_exemplars(record: bytes, exemplars: Sequence[ExemplarPoint | None], bounds: int, width: int) -> bytes:
    """Puts exemplars into the buckets of a record. Only with one there is a bucket ``+Inf``."""
    parts: list[bytes] = []
    end = 0
    for position, point in enumerate(exemplars):
        if point is None:
            continue
        mark = message(0x1A, _exemplar(point))
        parts += (record[end : (start := 10 + width + (12 + width) * position)], b"\x1a", VARINTS[10 + width + len(mark)])
        end = start + 12 + width
        bucket = record[start + 2 : end] if position < bounds else record[: 1 + width] + b"\x11" + double(inf)
        parts += (bucket, mark)
    return b"".join([*parts, record[end:]])


def _wide_histograms(chunk: _Chunk, series: Sequence[Series]) -> list[bytes]:
    """Histograms whose counts are too large for a record."""
    constant, stream = chunk.constant(), chunk.member.stream
    parts: list[bytes] = []
    for index, _, state, exemplars in series:
        *cumulative, count = accumulate(state[0])
        buckets = _buckets(stream.bounds, cumulative, count, exemplars or [None] * len(state[0])) + _native_of(state)
        parts += _histogram(constant[index], stream.starts[index], count, state[1], buckets)
    return parts


def _records(bounds: Sequence[float], lanes: bytes, width: int, sums: bytes) -> bytes:
    """Returns ``sample_count``, ``sample_sum`` and the buckets of each series, all of one size.

    ``+Inf`` is left out: ``sample_count`` says the same, and the Prometheus clients leave it out too.

    Args:
        bounds: The upper bounds.
        lanes: Each series' cumulative counts, ``sample_count`` the last, as ``varint_lanes`` returns them.
        width: Bytes of a count.
        sums: The sum of each series.
    """
    blank = bytes(width)
    head = b"\x08" + blank + b"\x11" + bytes(8)
    buckets = [b"\x1a%c\x08%b\x11%b" % (width + 10, blank, double(bound)) for bound in bounds]
    size, numbers = len(head) + (12 + width) * len(bounds), LANE * (len(bounds) + 1)
    records = bytearray(b"".join([head, *buckets]) * (len(sums) // 8))
    for byte in range(8):
        records[2 + width + byte :: size] = sums[byte::8]
    for byte in range(width):
        records[1 + byte :: size] = lanes[LANE * len(bounds) + byte :: numbers]
        for bucket in range(len(bounds)):
            at = len(head) + (12 + width) * bucket + 3 + byte
            records[at::size] = lanes[LANE * bucket + byte :: numbers]
    return bytes(records)


def _exponentials(chunk: _Chunk, series: Sequence[Series]) -> list[bytes]:
    """Native histograms; classic ones where the scale has no schema."""
    constant, starts = chunk.constant(), chunk.member.stream.starts
    parts: list[bytes] = []
    state: ExponentialState
    for index, _, state, exemplars in series:
        form = native(state)
        if form is not None:
            count, buckets = form.measurements, native_fields(form) + _native_exemplars(exemplars or ())
        else:
            bounds, counts = explicit(state)
            *cumulative, count = accumulate(counts)
            buckets = _buckets(bounds, cumulative, count, newest_by_bucket(exemplars or (), bounds))
        parts += _histogram(constant[index], starts[index], count, state.sum, buckets)
    return parts


def _histogram(rest: bytes, start: int | None, count: int, total: float, buckets: bytes) -> tuple[bytes, ...]:
    """A histogram with its sum, which Prometheus takes from here always, also where text has none.

    Args:
        rest: The series' constant part.
        start: The series' start, which is in it.
        count: Number of measurements.
        total: Their sum.
        buckets: The fields of classic and native buckets and of exemplars.
    """
    number = VARINTS[count]
    began = 0 if start is None else rest[1] + 2
    size = 10 + len(number) + len(buckets) + began
    length = VARINTS[size]
    whole = VARINTS[1 + len(length) + size - began + len(rest)]
    return (_METRIC, whole, _HISTOGRAM, length, b"\x08", number, b"\x11", double(total), buckets, rest)


def _buckets(
    bounds: Sequence[float], cumulative: Sequence[int], count: int, exemplars: Sequence[ExemplarPoint | None]
) -> bytes:
    """Classic buckets; ``+Inf``, which is ``sample_count`` too, only where it has an exemplar."""
    parts = []
    for bound, number, point in zip((*bounds, inf), (*cumulative, count), exemplars, strict=True):
        if bound != inf or point is not None:
            bucket = b"\x08%b\x11%b" % (VARINTS[number], double(bound))
            parts.append(message(0x1A, bucket if point is None else bucket + message(0x1A, _exemplar(point))))
    return b"".join(parts)


def native_fields(form: NativeHistogram) -> bytes:
    """Returns the buckets of a native histogram. Without any it has an empty span, which tells it from a classic one."""
    parts = [b"\x28", sint(form.schema), b"\x31", double(form.zero_threshold), b"\x38", VARINTS[form.zero_count]]
    if not form.negative.spans and not form.positive.spans:
        parts.append(message(0x62, b"\x08\x00\x10\x00"))
    return b"".join([*parts, _side(form.negative, 0x4A, 0x52), _side(form.positive, 0x62, 0x6A)])


def _side(side: Spans, span: int, delta: int) -> bytes:
    """Spans, and the difference of each bucket's count to that of the one before; packed, which every decoder takes."""
    if not side.spans:
        return b""
    spans = [message(span, b"\x08%b\x10%b" % (sint(offset), VARINTS[length])) for offset, length in side.spans]
    deltas = [sint(count - before) for count, before in zip(side.counts, (0, *side.counts), strict=False)]
    return b"".join([*spans, message(delta, b"".join(deltas))])


def _native_exemplars(points: Sequence[ExemplarPoint | None]) -> bytes:
    """By time, as Prometheus stores them."""
    found = sorted((point for point in points if point is not None), key=lambda point: point.time_unix_nano)
    return b"".join([message(0x82, _exemplar(point)) for point in found])


def _is_usual(point: ExemplarPoint) -> bool:
    return bool(point.trace_id and point.span_id and not point.attributes)


def _exemplar(point: ExemplarPoint) -> bytes:
    value, time, trace_id, span_id, attributes = point
    if trace_id and span_id and not attributes:
        # The usual case, for every bucket of every series.
        at = timestamp(time)
        return b"\x0a\x2c\x0a\x08trace_id\x12\x20%032x\x0a\x1b\x0a\x07span_id\x12\x10%016x\x11%b\x1a%c%b" % (
            *(trace_id, span_id, double(value)),
            *(len(at), at),
        )
    return exemplar(exemplar_labels(point, None), value, time)
