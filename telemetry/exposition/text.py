"""Families -> bytes, in text 0.0.4 or OpenMetrics 1.0: lines, numbers and exemplars.

A histogram has one template per family: the numbers are formatted into it, and the series' cached label text replaces its
placeholders in one step. The text is encoded every few hundred series, so that a scrape needs little more memory than its body
and other threads run in between.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from io import BytesIO
from itertools import accumulate
from typing import Any, NamedTuple

from prometheus_client.utils import floatToGoString

from telemetry.exposition.families import Families, Family, FamilyStream
from telemetry.exposition.labels import escape, label_text, quoted, value_text
from telemetry.metric.naming import is_plain, label_key
from telemetry.metricdata.exponential import explicit
from telemetry.metricdata.stream import ExemplarPoint, Snapshot, StreamKind

__all__ = ["Style", "bound_text", "exemplar_labels", "newest_by_bucket", "render", "shows_sum"]

_LABELS = "\0"  # stands for the label text in a template; label values never contain it
_SAMPLE_NAME = re.compile(r'\{"((?:[^"\\]|\\.)*)"|([^{ ]+)')
_SERIES_PER_PIECE = 128
_LARGEST = sys.float_info.max  # Prometheus refuses the whole scrape for a larger number
_SPECIAL_NUMBERS = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_EXEMPLAR_LIMIT = 128
"""Characters that keys and values of one exemplar may have together."""
_PLAIN_NUMBERS = (float, int)
_SECOND = 1_000_000_000


class Style(NamedTuple):
    """Options of one body."""

    openmetrics: bool = False
    exemplars: bool = True
    created: bool = False
    names: Collection[str] = ()
    """Sample names to show; empty: all."""


class _Body:
    """The growing body. The renderer appends text to ``parts``; ``flush`` encodes it and lets other threads run."""

    def __init__(self, yield_gil: Callable[[], None] | None) -> None:
        self.parts: list[str] = []
        self._buffer = BytesIO()
        self._yield_gil = yield_gil

    def flush(self) -> None:
        if len(self.parts) < _SERIES_PER_PIECE:
            return
        self._encode_parts()
        if self._yield_gil is not None:
            self._yield_gil()

    def size(self) -> tuple[int, int]:
        """Grows with every sample."""
        return self._buffer.tell(), len(self.parts)

    def finish(self) -> bytes:
        self._encode_parts()
        return self._buffer.getvalue()

    def _encode_parts(self) -> None:
        self._buffer.write("".join(self.parts).encode())
        self.parts.clear()


def render(families: Families, snapshot: Snapshot, style: Style, yield_gil: Callable[[], None] | None = None) -> bytes:
    """Returns one body. ``yield_gil`` is called between pieces."""
    body = _Body(yield_gil)
    for family in families.update(snapshot):
        if style.names and not _sample_names(family, style).intersection(style.names):
            continue
        start = len(body.parts)
        if family is families.target:
            _target(families, family, body, style)
        else:
            _family(family, body, style)
        if style.names:
            body.parts[start:] = _restricted("".join(body.parts[start:]), style.names)
    if style.openmetrics:
        body.parts.append("# EOF\n")
    return body.finish()


def _sample_names(family: Family, style: Style) -> set[str]:
    name = family.name
    if family.type == "histogram":
        return {f"{name}_{suffix}" for suffix in ("bucket", "sum", "count", "created")}
    return {_sample_name(family, style), f"{name}_created"} if family.type == "counter" else {_sample_name(family, style)}


def _restricted(text: str, names: Collection[str]) -> list[str]:
    """The comment lines and the samples with these names."""
    kept = []
    for line in text.splitlines(keepends=True):
        match = _SAMPLE_NAME.match(line)
        if line.startswith("# ") or (match and (match[1] or match[2]) in names):
            kept.append(line)
    return kept


def _sample_name(family: Family, style: Style) -> str:
    if style.openmetrics and family.type in ("counter", "info"):
        return family.name + {"counter": "_total", "info": "_info"}[family.type]
    return family.text_name


def _metadata(family: Family, style: Style) -> str:
    name = family.name if style.openmetrics else family.text_name
    name = name if is_plain(name) else quoted(name)
    kind = "gauge" if family.type == "info" and not style.openmetrics else family.type
    help_ = family.help.encode("utf-8", "replace").decode().replace("\0", "?")
    help_ = escape(help_) if style.openmetrics else help_.replace("\\", "\\\\").replace("\n", "\\n")
    lines = [f"# HELP {name} {help_}\n"] if help_ else []
    lines.append(f"# TYPE {name} {kind}\n")
    if style.openmetrics and family.unit:
        lines.append(f"# UNIT {name} {family.unit}\n")
    return "".join(lines)


def _target(families: Families, family: Family, body: _Body, style: Style) -> None:
    if pairs := families.target_labels():
        body.parts.append(f"{_metadata(family, style)}{_sample_name(family, style)}{{{label_text(pairs)}}} 1\n")


def _family(family: Family, body: _Body, style: Style) -> None:
    body.parts.append(_metadata(family, style))
    before = body.size()
    for member in family.members:
        if member.stream.kind is StreamKind.HISTOGRAM:
            _histograms(member, body, style)
        elif member.stream.kind is StreamKind.EXPONENTIAL:
            _exponentials(member, body, style)
        else:
            _numbers(member, body, style)
    if body.size() == before:
        body.parts.pop()  # no series this time


def _series(member: FamilyStream, body: _Body, style: Style) -> Iterator[tuple[int, str, Any, Any]]:
    """Yields position, label text, value and exemplars of each series that is shown; encodes the body piece by piece."""
    with_exemplars = style.exemplars and style.openmetrics and member.family.type in ("counter", "histogram")
    # Shorter pieces with exemplars: so few new objects at a time do not start the garbage collector.
    size = _SERIES_PER_PIECE // 4 if with_exemplars else _SERIES_PER_PIECE
    for start in range(0, len(member.texts), size):
        texts = member.texts[start : start + size]
        values, exemplars = member.stream.slice(start, start + len(texts), exemplars=with_exemplars)
        get = exemplars.get
        for index, text, value in zip(range(start, start + len(texts)), texts, values, strict=True):
            if value is not None and text is not None:
                yield index, text, value, get(index)
        if not style.names:
            body.flush()


def _heads(name: str) -> tuple[str, str]:
    """The beginning of a sample with labels, and of a sample without."""
    return (name + "{", name) if is_plain(name) else ("{" + quoted(name) + ",", "{" + quoted(name) + "}")


def _numbers(member: FamilyStream, body: _Body, style: Style) -> None:
    """Counters, gauges and infos: one sample for each series, and a counter's ``_created``."""
    family, starts, parts = member.family, member.stream.starts, body.parts
    head, bare = _heads(_sample_name(family, style))
    created_head, created_bare = _heads(f"{family.name}_created")
    with_created = style.created and style.openmetrics and family.type == "counter"
    info = family.type == "info"
    for index, text, value, exemplars in _series(member, body, style):
        shown = "1" if info else _number_text(value)
        if exemplars:
            shown += _exemplar_texts(exemplars)[0]
        parts.append(f"{head}{text}}} {shown}\n" if text else f"{bare} {shown}\n")
        if with_created and (start := starts[index]) is not None:
            parts.append(
                f"{created_head}{text}}} {_seconds_text(start)}\n" if text else f"{created_bare} {_seconds_text(start)}\n"
            )


def shows_sum(bounds: Sequence[float], total: float) -> bool:
    """Whether a histogram has ``_sum`` and ``_count``: only if no value can be negative, so that the sum never falls."""
    return (not bounds or bounds[0] >= 0) and total >= 0


def _template(family: Family, bounds: Sequence[float], labels: bool, total: bool, exemplars: bool, created: bool) -> str:
    """A series' lines with ``%d`` for counts, ``%s`` for texts, and ``_LABELS`` for its labels."""
    head, bare = _heads(f"{family.name}_bucket")
    head = f"{head}{_LABELS}," if labels else f"{head}"
    mark = "%s" if exemplars else ""
    les = [bound_text(float(bound)) for bound in bounds] + ["+Inf"]
    lines = [f'{head.replace("%", "%%")}le="{le}"}} %d{mark}\n' for le in les]
    tails = (("_count", "%d"), ("_sum", "%s")) if total else ()
    for suffix, value in (*tails, *((("_created", "%s"),) if created else ())):
        head, bare = _heads(family.name + suffix)
        start = f"{head}{_LABELS}}}" if labels else bare
        lines.append(f"{start.replace('%', '%%')} {value}\n")
    return "".join(lines)


def _cached_template(family: Family, bounds: Sequence[float], *shape: bool) -> str:
    key = (tuple(bounds), *shape)
    template = family.templates.get(key)
    if template is None:
        template = family.templates[key] = _template(family, bounds, *shape)
    return template


def _histograms(member: FamilyStream, body: _Body, style: Style) -> None:
    family, bounds, starts, parts = member.family, member.stream.bounds, member.stream.starts, body.parts
    created = style.created and style.openmetrics
    usual = _cached_template(family, bounds, True, True, False, created)
    may_sum = shows_sum(bounds, 0)
    for index, text, (counts, total), exemplars in _series(member, body, style):
        template = usual
        summed = may_sum and total >= 0
        values: list[Any] = list(accumulate(counts))
        count = values[-1]
        if exemplars or not text or not summed:
            template = _cached_template(family, bounds, bool(text), summed, bool(exemplars), created)
            if exemplars:
                values = _interleaved(values, exemplars)
        if summed:
            values.append(count)
            values.append(_number_text(total))
        if created:
            values.append(_seconds_text(starts[index] or 0))
        parts.append((template % tuple(values)).replace(_LABELS, text))


def _interleaved(counts: Sequence[int], exemplars: Sequence[ExemplarPoint | None]) -> list[int | str | None]:
    both: list[int | str | None] = [None] * (2 * len(counts))
    both[::2] = counts
    both[1::2] = _exemplar_texts(exemplars)
    return both


def _exponentials(member: FamilyStream, body: _Body, style: Style) -> None:
    family, starts = member.family, member.stream.starts
    created = style.created and style.openmetrics
    for index, text, state, exemplars in _series(member, body, style):
        bounds, counts = explicit(state)
        values: list[Any] = list(accumulate(counts))
        summed = shows_sum(bounds, state.sum)
        tail = [values[-1], _number_text(state.sum)] if summed else []
        if exemplars:
            values = _interleaved(values, newest_by_bucket(exemplars, bounds))
        tail += [_seconds_text(starts[index] or 0)] if created else []
        template = _template(family, bounds, bool(text), summed, bool(exemplars), created)
        body.parts.append((template % (*values, *tail)).replace(_LABELS, text))


def _number_text(value: Any) -> str:
    """The shortest text that reads back as the same number; integers without a point."""
    if type(value) is int and -_LARGEST <= value <= _LARGEST:
        return str(value)
    if type(value) is not float:
        # bool, and scalars of numeric libraries: their repr() is not a number
        if isinstance(value, int):
            return str(int(value)) if -_LARGEST <= value <= _LARGEST else "+Inf" if value > 0 else "-Inf"
        value = float(value)
    text = repr(value)
    return _SPECIAL_NUMBERS.get(text, text)


def bound_text(bound: float) -> str:
    """Returns a bucket bound as Prometheus writes it in ``le``: ``0.01``, ``1.0``, ``1e+06``, ``+Inf``."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # prometheus_client has no types for it


def _seconds_text(unix_nano: int) -> str:
    """Unix time in seconds, exact to the nanosecond."""
    return f"{unix_nano // _SECOND}.{unix_nano % _SECOND:09d}"


def exemplar_labels(point: ExemplarPoint) -> list[tuple[str, str]]:
    """Returns trace and span, then the filtered attributes by key, except those that exceed ``_EXEMPLAR_LIMIT``.

    https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md#exemplars
    """
    pairs = []
    if point.trace_id:
        pairs.append(("trace_id", f"{point.trace_id:032x}"))
    if point.span_id:
        pairs.append(("span_id", f"{point.span_id:016x}"))
    if point.attributes:
        left = _EXEMPLAR_LIMIT - sum(len(key) + len(value) for key, value in pairs)
        taken = {key for key, _ in pairs}
        for original in sorted(point.attributes):
            key, value = label_key(original, utf8=False), value_text(point.attributes[original])
            if key not in taken and len(key) + len(value) <= left:
                taken.add(key)
                left -= len(key) + len(value)
                pairs.append((key, value))
    return pairs


def _exemplar_texts(points: Iterable[ExemplarPoint | None]) -> list[str]:
    """The text after each sample's value: `` # {trace_id="...",span_id="..."} value time``, or nothing."""
    texts = []
    for point in points:
        if point is None:
            texts.append("")
            continue
        value, time, trace_id, span_id, attributes = point
        if trace_id and span_id and not attributes and type(value) in _PLAIN_NUMBERS and time > _SECOND:
            # The usual case, for every bucket of every series: recorded values are finite.
            nanos = str(time)
            trace, span = trace_id.to_bytes(16, "big").hex(), span_id.to_bytes(8, "big").hex()
            texts.append(f' # {{trace_id="{trace}",span_id="{span}"}} {value!r} {nanos[:-9]}.{nanos[-9:]}')
        else:
            texts.append(f" # {{{label_text(exemplar_labels(point))}}} {_number_text(value)} {_seconds_text(time)}")
    return texts


def newest_by_bucket(points: Iterable[ExemplarPoint | None], bounds: Sequence[float]) -> list[ExemplarPoint | None]:
    """Returns each bucket's newest exemplar: its value is above the previous bound and not above the bucket's own."""
    newest: list[ExemplarPoint | None] = [None] * (len(bounds) + 1)
    for point in points:
        if point is None:
            continue
        bucket = bisect_left(bounds, point.value)
        known = newest[bucket]
        if known is None or known.time_unix_nano <= point.time_unix_nano:
            newest[bucket] = point
    return newest
