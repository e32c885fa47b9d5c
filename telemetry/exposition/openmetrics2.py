"""Families -> lines of OpenMetrics 2.0: one line a series, with the start of its measurements and its exemplars.

A histogram is one composite value. Its template, one for each list of bounds, has ``%d`` for counts and ``%s`` for texts.

https://prometheus.io/docs/specs/om/open_metrics_spec_2_0/ (2.0.0-rc0) as ``openmetrics2parse.go`` of Prometheus 3.16 reads it.
Where the two differ, the parser decides:

- An exemplar that cannot be read costs the exemplar (text) or the scrape (parser): each has a value and a time here.
- Times are exact (text) or cut to milliseconds (parser): they are written to the nanosecond.
- A null character may stand in any string (text), but not in a name (parser): it is written as ``?``, as in all formats.
- Carriage returns may stand in any string (text), but not at the end of HELP (parser): those are left out.
- Numbers beyond float64 are admitted by the grammar and refused by the parser: they are written as infinity.
- The fields of a composite value have one order (text) or any (parser): it is the text's.
- A metric of unknown type may have a composite value (text) or not (parser): it has numbers.
- A gauge histogram with native buckets may have negative counts (text) or not (parser): it is left out.
- A summary's sum must not be negative (text) or may be (parser): it is shown, as in the other formats.

Neither limits the labels of an exemplar; Prometheus' storage drops one of more than 128 characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from math import inf

from telemetry.exposition.encoding import Series, Style, heads, sample_names, series_of
from telemetry.exposition.exemplars import exemplar_texts
from telemetry.exposition.families import Families, Family, FamilyStream
from telemetry.exposition.labels import escape, label_text, quoted
from telemetry.exposition.numbers import bound_text, number_text, seconds_text
from telemetry.metric.naming import is_plain, unit_word
from telemetry.metricdata.exponential import explicit
from telemetry.metricdata.native import NativeHistogram, native
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, HistogramState, NativeHistogramState, StreamKind

__all__ = ["bucket_text", "metadata_text", "native_text", "texts"]

_SECOND = 1_000_000_000


def texts(families: Families, shown: Sequence[Family], style: Style) -> Iterator[str]:
    """Yields the body, some series at a time; a family without series has no lines."""
    for family in shown:
        if style.names and not _names(family).intersection(style.names):
            continue
        metadata = metadata_text(family.text_name, family.type, _unit(family), family.help)
        for text in _target(families, family) if family is families.target else _samples(family, style):
            if text:
                yield metadata + text
                metadata = ""
    yield "# EOF\n"


def metadata_text(name: str, type_: str, unit: str, help_: str) -> str:
    """Returns the lines TYPE, UNIT and HELP of a family; the latter two where there is something to say."""
    name = name if is_plain(name) else quoted(name)
    lines = [f"# TYPE {name} {type_}\n"]
    if unit:
        lines.append(f"# UNIT {name} {unit}\n")
    if help_ := help_.encode("utf-8", "replace").decode().replace("\0", "?").rstrip("\r"):
        lines.append(f"# HELP {name} {escape(help_)}\n")
    return "".join(lines)


def native_text(histogram: NativeHistogram) -> str:
    """Returns the fields of native buckets; a side without any has none."""
    parts = [f"schema:{histogram.schema},zero_threshold:{number_text(histogram.zero_threshold)}"]
    parts.append(f"zero_count:{histogram.zero_count}")
    for side, (spans, counts) in (("negative", histogram.negative), ("positive", histogram.positive)):
        if counts:
            parts.append(f"{side}_spans:[{','.join(f'{offset}:{length}' for offset, length in spans)}]")
            parts.append(f"{side}_buckets:{list(counts)}".replace(" ", ""))
    return ",".join(parts)


def bucket_text(bounds: Sequence[float], cumulative: Sequence[object]) -> str:
    """Returns the field of classic buckets: each bound that is above the one before it, then infinity.

    Args:
        bounds: Upper bounds, without infinity.
        cumulative: The number of values up to each bound, and of all values.
    """
    parts = []
    highest: float | None = None
    for bound, count in zip(bounds, cumulative, strict=False):
        if bound < inf and (highest is None or bound > highest):
            parts.append(f"{bound_text(float(bound))}:{count},")
            highest = bound
    return f"bucket:[{''.join(parts)}+Inf:{cumulative[-1]}]"


def _names(family: Family) -> set[str]:
    """Every name by which a scrape of the family may be asked for: its own, and those of its samples in other formats."""
    return {family.text_name, *sample_names(family, False), *sample_names(family, True)}


def _unit(family: Family) -> str:
    """The unit, also where the family's name does not end in it."""
    if family.type == "info" or not family.members:
        return ""
    return unit_word(family.members[0].stream.unit, "gauge" if family.type == "gauge" else "counter")


def _target(families: Families, family: Family) -> Iterator[str]:
    if pairs := families.target_labels():
        yield f"{family.text_name}{{{label_text(pairs)}}} 1\n"


def _samples(family: Family, style: Style) -> Iterator[str]:
    for member in family.members:
        kind = member.stream.kind
        write = {StreamKind.HISTOGRAM: _histograms, StreamKind.EXPONENTIAL: _exponentials}.get(kind, _numbers)
        for series in series_of(member, style, native=True):
            yield "".join(write(member, series))


def _numbers(member: FamilyStream, series: Sequence[Series]) -> list[str]:
    family, starts = member.family, member.stream.starts
    head, bare = heads(family.text_name)
    info, counter = family.type == "info", family.type == "counter"
    parts = []
    for index, text, value, exemplars in series:
        shown = "1" if info else number_text(value)
        if counter:
            if shown == "NaN":  # of an observable counter; the parser refuses the scrape
                continue
            shown += _rest(starts[index], exemplars)
        parts.append(f"{head}{text}}} {shown}\n" if text else f"{bare} {shown}\n")
    return parts


def _rest(start: int | None, exemplars: Sequence[ExemplarPoint | None] | None) -> str:
    """What follows a value: the start of the measurements where it is known, and the exemplars."""
    text = ""
    if start:
        nanos = str(start)
        text = f" st@{nanos[:-9]}.{nanos[-9:]}" if start > _SECOND else f" st@{seconds_text(start)}"
    return text + "".join(exemplar_texts(exemplars, None)) if exemplars else text


@lru_cache(maxsize=512)
def _template(bounds: tuple[float, ...]) -> str | None:
    """Count, sum, native fields, each bucket, and what follows the value. None where bounds do not rise."""
    if not all(lower < upper for lower, upper in pairwise((*bounds, inf))):
        return None
    return f"{{count:%d,sum:%s,%s{bucket_text(bounds, ['%d'] * (len(bounds) + 1))}}}%s\n"


def _histograms(member: FamilyStream, series: Sequence[Series]) -> list[str]:
    bounds, starts, both = member.stream.bounds, member.stream.starts, member.stream.native
    template = _template(tuple(bounds))
    head, bare = heads(member.family.text_name)
    parts = []
    fields = ""
    for index, text, state, exemplars in series:
        cumulative = list(accumulate(state[0]))
        if both:
            cumulative, fields = _both(cumulative, state)
        total, rest = number_text(state[1]), _rest(starts[index], exemplars)
        if template is not None:
            value = template % (cumulative[-1], total, fields, *cumulative, rest)
        else:
            value = f"{{count:{cumulative[-1]},sum:{total},{fields}{bucket_text(bounds, cumulative)}}}{rest}\n"
        parts.append(f"{head}{text}}} {value}" if text else f"{bare} {value}")
    return parts


def _both(cumulative: list[int], state: HistogramState | NativeHistogramState) -> tuple[list[int], str]:
    """Returns the classic counts and the native fields, which are empty where the state has no native form.

    A measurement that is made just now may be in one form alone: the native form decides, as the parser demands that its
    buckets add up to the count.
    """
    histogram = native(state[2]) if len(state) == 3 else None
    if histogram is None:
        return cumulative, ""
    count = histogram.measurements
    if count != cumulative[-1]:
        cumulative = [*(min(each, count) for each in cumulative[:-1]), count]
    return cumulative, f"{native_text(histogram)},"


def _exponentials(member: FamilyStream, series: Sequence[Series]) -> list[str]:
    starts = member.stream.starts
    head, bare = heads(member.family.text_name)
    parts = []
    for index, text, state, exemplars in series:
        if exemplars:
            exemplars = sorted((each for each in exemplars if each is not None), key=lambda each: each.value)
        value = f"{_exponential(state)}{_rest(starts[index], exemplars)}\n"
        parts.append(f"{head}{text}}} {value}" if text else f"{bare} {value}")
    return parts


def _exponential(state: ExponentialState) -> str:
    """The value in native buckets; in classic ones where its scale has no schema."""
    histogram = native(state)
    if histogram is not None:
        count, fields = histogram.measurements, native_text(histogram)
    else:
        bounds, counts = explicit(state)
        cumulative = list(accumulate(counts))
        count, fields = cumulative[-1], bucket_text(bounds, cumulative)
    return f"{{count:{count},sum:{number_text(state.sum)},{fields}}}"
