"""Families -> lines of text 0.0.4, text 1.0.0 and OpenMetrics 1.0.

A histogram has one template per family: the numbers are formatted into it, and the series' cached label text replaces its
placeholders in one step.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from typing import Any

from telemetry.exposition.encoding import Series, Style, heads, sample_name, sample_names, series_of, shows_sum
from telemetry.exposition.exemplars import exemplar_texts, newest_by_bucket
from telemetry.exposition.families import Families, Family, FamilyStream
from telemetry.exposition.labels import escape, label_text, quoted
from telemetry.exposition.negotiation import Format
from telemetry.exposition.numbers import bound_text, number_text, seconds_text
from telemetry.metric.naming import is_plain
from telemetry.metricdata.exponential import explicit
from telemetry.metricdata.stream import ExemplarPoint, StreamKind

__all__ = ["texts"]

_LABELS = "\0"  # stands for the label text in a template; label values never contain it
_SAMPLE_NAME = re.compile(r'\{"((?:[^"\\]|\\.)*)"|([^{ ]+)')


def texts(families: Families, shown: Sequence[Family], style: Style) -> Iterator[str]:
    """Yields the body, some series at a time; a family without series has no lines."""
    openmetrics = style.format is Format.OPENMETRICS
    for family in shown:
        if style.names and not sample_names(family, openmetrics).intersection(style.names):
            continue
        metadata = _metadata(family, openmetrics)
        for text in _target(families, family, openmetrics) if family is families.target else _samples(family, style):
            if text:
                yield metadata + (_restricted(text, style.names) if style.names else text)
                metadata = ""
    if openmetrics:
        yield "# EOF\n"


def _restricted(text: str, names: Collection[str]) -> str:
    """The samples with these names."""
    kept = []
    for line in text.splitlines(keepends=True):
        match = _SAMPLE_NAME.match(line)
        if match and (match[1] or match[2]) in names:
            kept.append(line)
    return "".join(kept)


def _metadata(family: Family, openmetrics: bool) -> str:
    name = family.name if openmetrics else family.text_name
    name = name if is_plain(name) else quoted(name)
    kind = "gauge" if family.type == "info" and not openmetrics else family.type
    help_ = family.help.encode("utf-8", "replace").decode().replace("\0", "?")
    help_ = escape(help_) if openmetrics else help_.replace("\\", "\\\\").replace("\n", "\\n")
    lines = [f"# HELP {name} {help_}\n"] if help_ else []
    lines.append(f"# TYPE {name} {kind}\n")
    if openmetrics and family.unit:
        lines.append(f"# UNIT {name} {family.unit}\n")
    return "".join(lines)


def _target(families: Families, family: Family, openmetrics: bool) -> Iterator[str]:
    if pairs := families.target_labels():
        yield f"{sample_name(family, openmetrics)}{{{label_text(pairs)}}} 1\n"


def _samples(family: Family, style: Style) -> Iterator[str]:
    for member in family.members:
        kind = member.stream.kind
        write = {StreamKind.HISTOGRAM: _histograms, StreamKind.EXPONENTIAL: _exponentials}.get(kind, _numbers)
        for series in series_of(member, style):
            yield "".join(write(member, series, style))


def _shows_created(style: Style) -> bool:
    return style.created and style.format is Format.OPENMETRICS


def _numbers(member: FamilyStream, series: Sequence[Series], style: Style) -> list[str]:
    """Counters, gauges and infos: one sample for each series, and a counter's ``_created``."""
    family, starts = member.family, member.stream.starts
    head, bare = heads(sample_name(family, style.format is Format.OPENMETRICS))
    created_head, created_bare = heads(f"{family.name}_created")
    with_created = _shows_created(style) and family.type == "counter"
    info = family.type == "info"
    parts = []
    for index, text, value, exemplars in series:
        shown = "1" if info else number_text(value)
        if exemplars:
            shown += exemplar_texts(exemplars)[0]
        parts.append(f"{head}{text}}} {shown}\n" if text else f"{bare} {shown}\n")
        if with_created and (start := starts[index]) is not None:
            time = seconds_text(start)
            parts.append(f"{created_head}{text}}} {time}\n" if text else f"{created_bare} {time}\n")
    return parts


def _template(family: Family, bounds: Sequence[float], labels: bool, total: bool, exemplars: bool, created: bool) -> str:
    """A series' lines with ``%d`` for counts, ``%s`` for texts, and ``_LABELS`` for its labels."""
    head, bare = heads(f"{family.name}_bucket")
    head = f"{head}{_LABELS}," if labels else f"{head}"
    mark = "%s" if exemplars else ""
    les = [bound_text(float(bound)) for bound in bounds] + ["+Inf"]
    lines = [f'{head.replace("%", "%%")}le="{le}"}} %d{mark}\n' for le in les]
    tails = (("_count", "%d"), ("_sum", "%s")) if total else ()
    for suffix, value in (*tails, *((("_created", "%s"),) if created else ())):
        head, bare = heads(family.name + suffix)
        start = f"{head}{_LABELS}}}" if labels else bare
        lines.append(f"{start.replace('%', '%%')} {value}\n")
    return "".join(lines)


def _cached_template(family: Family, bounds: Sequence[float], *shape: bool) -> str:
    key = (tuple(bounds), *shape)
    template = family.templates.get(key)
    if template is None:
        template = family.templates[key] = _template(family, bounds, *shape)
    return template


def _histograms(member: FamilyStream, series: Sequence[Series], style: Style) -> list[str]:
    family, bounds, starts = member.family, member.stream.bounds, member.stream.starts
    created = _shows_created(style)
    usual = _cached_template(family, bounds, True, True, False, created)
    may_sum = shows_sum(bounds, 0)
    parts = []
    for index, text, (counts, total), exemplars in series:
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
            values.append(number_text(total))
        if created:
            values.append(seconds_text(starts[index] or 0))
        parts.append((template % tuple(values)).replace(_LABELS, text))
    return parts


def _interleaved(counts: Sequence[int], exemplars: Sequence[ExemplarPoint | None]) -> list[int | str | None]:
    both: list[int | str | None] = [None] * (2 * len(counts))
    both[::2] = counts
    both[1::2] = exemplar_texts(exemplars)
    return both


def _exponentials(member: FamilyStream, series: Sequence[Series], style: Style) -> list[str]:
    family, starts = member.family, member.stream.starts
    created = _shows_created(style)
    parts = []
    for index, text, state, exemplars in series:
        bounds, counts = explicit(state)
        values: list[Any] = list(accumulate(counts))
        summed = shows_sum(bounds, state.sum)
        tail = [values[-1], number_text(state.sum)] if summed else []
        if exemplars:
            values = _interleaved(values, newest_by_bucket(exemplars, bounds))
        tail += [seconds_text(starts[index] or 0)] if created else []
        template = _template(family, bounds, bool(text), summed, bool(exemplars), created)
        parts.append((template % (*values, *tail)).replace(_LABELS, text))
    return parts
