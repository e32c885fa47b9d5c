"""A parser of OpenMetrics 2.0 that admits its grammar and nothing else, for what this project writes: families as plain data.

https://prometheus.io/docs/specs/om/open_metrics_spec_2_0/#abnf
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Family", "Sample", "parse"]

_STRING = r'"(?:[^"\\\n]|\\[n"\\])*"'
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = rf"(?:[a-zA-Z_][a-zA-Z0-9_]*|{_STRING})={_STRING}"
_REAL = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_NUMBER = rf"(?:{_REAL}|[+-]?Inf|NaN)"
_SPANS = r"(?:[+-]?\d+:\d+(?:,\d+:\d+)*)"
_NUMBERS = rf"(?:{_NUMBER}(?:,{_NUMBER})*)"
_NATIVE = (
    rf"schema:(?P<schema>[+-]?\d+),zero_threshold:(?P<zero_threshold>{_REAL}),zero_count:(?P<zero_count>{_NUMBER})"
    rf"(?:,negative_spans:\[(?P<negative_spans>{_SPANS})\],negative_buckets:\[(?P<negative_buckets>{_NUMBERS})\])?"
    rf"(?:,positive_spans:\[(?P<positive_spans>{_SPANS})\],positive_buckets:\[(?P<positive_buckets>{_NUMBERS})\])?"
)
_CLASSIC = rf"bucket:\[(?P<%s>(?:-Inf:{_NUMBER},)?(?:{_REAL}:{_NUMBER},)*\+Inf:{_NUMBER})\]"
_COUNT = rf"(?P<g>g?)count:(?P<count>{_NUMBER}),(?P=g)sum:(?P<sum>{_NUMBER})"
_HISTOGRAM = re.compile(rf"\{{{_COUNT},(?:{_NATIVE}(?:,{_CLASSIC % 'bucket'})?|{_CLASSIC % 'classic'})\}}")
_QUANTILES = rf"(?:{_REAL}:{_NUMBER}(?:,{_REAL}:{_NUMBER})*)?"
_SUMMARY = re.compile(rf"\{{count:(?P<count>{_NUMBER}),sum:(?P<sum>{_NUMBER}),quantile:\[(?P<quantile>{_QUANTILES})\]\}}")
_EXEMPLAR = re.compile(rf" # \{{((?:{_LABEL}(?:,{_LABEL})*)?)\}} ({_NUMBER}) ({_REAL})")
_PLAIN_HEAD = rf"(?P<name>{_NAME})(?:\{{(?P<labels>(?:{_LABEL}(?:,{_LABEL})*)?)\}})?"
_QUOTED_HEAD = rf"\{{(?P<quoted>{_STRING})(?P<rest>(?:,{_LABEL})*)\}}"
_TIMES = rf"(?: (?P<time>{_REAL}))?(?: st@(?P<start>{_REAL}))?"
_LINE = re.compile(
    rf"(?:{_PLAIN_HEAD}|{_QUOTED_HEAD}) (?P<value>{_NUMBER}|\{{[^ ]+\}}){_TIMES}(?P<exemplars>(?:{_EXEMPLAR.pattern})*)"
)
_METADATA = re.compile(rf"# (TYPE|UNIT|HELP) ({_NAME}|{_STRING}) ((?:[^\"\\]|\\[n\"\\])*)")
_PAIR = re.compile(rf"([a-zA-Z_][a-zA-Z0-9_]*|{_STRING})=({_STRING})")
_ORDER = ("TYPE", "UNIT", "HELP")
_COMPOSITE = ("histogram", "gaugehistogram", "summary")
_TYPES = ("counter", "gauge", "histogram", "gaugehistogram", "stateset", "info", "summary", "unknown")


@dataclass
class Sample:
    """One line: its value is a number, or the fields of a composite one."""

    labels: dict[str, str]
    value: Any
    time: str | None = None
    start: str | None = None
    exemplars: list[tuple[dict[str, str], float, str]] = field(default_factory=list)


@dataclass
class Family:
    """A family with its samples."""

    type: str
    unit: str = ""
    help: str = ""
    samples: list[Sample] = field(default_factory=list)


def parse(body: str) -> dict[str, Family]:
    """Returns the families by name; an AssertionError shows the line that is not of the grammar."""
    assert body.endswith("# EOF\n")
    found: dict[str, Family] = {}
    series: set[object] = set()
    current, seen = "", list[str]()
    for line in body.removesuffix("# EOF\n").split("\n")[:-1]:
        if line.startswith("#"):
            match = _METADATA.fullmatch(line)
            assert match, line
            name = _unquoted(match[2])
            if match[1] == "TYPE":
                assert name not in found, line
                assert match[3] in _TYPES, line
                found[name], current, seen = Family(match[3]), name, []
            assert name == current, line
            assert not found[name].samples, line
            seen.append(match[1])
            assert seen == [each for each in _ORDER if each in seen], line
            if match[1] != "TYPE":
                setattr(found[name], match[1].lower(), _unescaped(match[3]))
        else:
            name, sample = _sample(line, found[current].type)
            assert name == current, line
            key = (name, *sorted(sample.labels.items()), sample.time)
            assert key not in series, line
            series.add(key)
            found[name].samples.append(sample)
    return found


def _sample(line: str, type_: str) -> tuple[str, Sample]:
    match = _LINE.fullmatch(line)
    assert match, line
    assert match["value"].startswith("{") == (type_ in _COMPOSITE), line
    labels = _pairs(match["labels"] or match["rest"] or "")
    exemplars = [(_pairs(pairs), float(value), time) for pairs, value, time in _EXEMPLAR.findall(match["exemplars"])]
    value = _composite(match["value"], type_) if type_ in _COMPOSITE else float(match["value"])
    return match["name"] or _unquoted(match["quoted"]), Sample(labels, value, match["time"], match["start"], exemplars)


def _composite(text: str, type_: str) -> dict[str, Any]:
    match = (_SUMMARY if type_ == "summary" else _HISTOGRAM).fullmatch(text)
    assert match, text
    fields = {("bucket" if key == "classic" else key): value for key, value in match.groupdict().items() if value is not None}
    assert (fields.pop("g", "") == "g") == (type_ == "gaugehistogram"), text
    return {key: _field(value) for key, value in fields.items()}


def _field(text: str) -> Any:
    if not text:
        return []
    if ":" in text:
        return [(float(key), float(value)) for key, value in (pair.split(":") for pair in text.split(","))]
    return [float(each) for each in text.split(",")] if "," in text else float(text)


def _pairs(text: str) -> dict[str, str]:
    pairs = [(_unquoted(key), _unquoted(value)) for key, value in _PAIR.findall(text)]
    assert len(dict(pairs)) == len(pairs), text
    return dict(pairs)


def _unquoted(text: str) -> str:
    return _unescaped(text[1:-1]) if text.startswith('"') else text


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)
