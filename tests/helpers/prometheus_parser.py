"""Bodies of /metrics as Prometheus' own parsers read them, by ``tests/stack/binaries/parser``.

A test that uses it needs a program that is built with Go: it has the fixture ``prometheus_parser`` and, outside of
``tests/stack``, ``@pytest.mark.stack``.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["ParsedBody", "ParsedExemplar", "ParsedHistogram", "ParsedSample", "PrometheusParser", "RefusedError"]


class RefusedError(Exception):
    """Prometheus would refuse the body, or one of its samples; the message is Prometheus'."""


@dataclass(frozen=True, slots=True)
class ParsedExemplar:
    """An exemplar. ``timestamp`` is in Unix milliseconds; None where the format has none."""

    labels: dict[str, str]
    value: float
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class ParsedHistogram:
    """A native histogram.

    Attributes:
        positive: Count by index of the bucket, empty buckets within spans included.
        positive_spans: Offset and length of each span as they were sent.
        custom: Upper bounds of custom buckets (schema -53), without infinity.
        float_counts: Whether the counts were sent as floats.
        gauge: Whether it is a gauge histogram.
    """

    schema: int
    zero_threshold: float
    zero_count: float
    count: float
    sum: float
    positive: dict[int, float]
    negative: dict[int, float]
    positive_spans: tuple[tuple[int, int], ...]
    negative_spans: tuple[tuple[int, int], ...]
    custom: tuple[float, ...]
    float_counts: bool
    gauge: bool


@dataclass(frozen=True, slots=True)
class ParsedSample:
    """One series with its value.

    Attributes:
        series: The series as the body writes it, or as the parser does for protobuf.
        name: Name of the metric.
        labels: The other labels.
        value: A number, or a native histogram.
        timestamp: Of the sample, in Unix milliseconds.
        start: Start timestamp in Unix milliseconds; None where there is none.
    """

    series: str
    name: str
    labels: dict[str, str]
    value: float | ParsedHistogram
    timestamp: int | None
    start: int | None
    exemplars: tuple[ParsedExemplar, ...]


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """What a body holds, in its order; types, helps and units by the family's name."""

    samples: list[ParsedSample] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    helps: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)

    def values(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float | ParsedHistogram]:
        """Returns the value of each series by its name and labels."""
        return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in self.samples}


class PrometheusParser:
    """A running parser program: a context manager. Not thread-safe.

    Args:
        program: Path of the program.
    """

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()

    def parse(
        self,
        body: bytes,
        content_type: str,
        *,
        native: bool = True,
        classic: bool = False,
        custom: bool = False,
        starts: bool = True,
        openmetrics2: bool = True,
        legacy: bool = False,
    ) -> ParsedBody:
        """Reads one body as a scrape of it would.

        Args:
            body: The body, not compressed.
            content_type: The answer's ``Content-Type``: it chooses the parser.
            native: ``scrape_native_histograms``; False: the native parts of histograms are ignored.
            classic: ``always_scrape_classic_histograms``: the classic buckets beside the native ones are read too.
            custom: ``convert_classic_histograms_to_nhcb``.
            starts: Whether start timestamps are read; ``_created`` of OpenMetrics 1.0 is then a start and no series.
            openmetrics2: ``--enable-feature=openmetrics2``.
            legacy: ``metric_name_validation_scheme: legacy``.

        Raises:
            RefusedError: Prometheus would refuse the body or one of its samples: among them one with the labels of an
                earlier sample, and a native histogram whose buckets do not add up to its count.
        """
        head = {
            "content_type": content_type,
            "length": len(body),
            "native": native,
            "classic": classic,
            "custom": custom,
            "starts": starts,
            "om2": openmetrics2,
            "legacy": legacy,
        }
        found = self._ask(json.dumps(head).encode() + b"\n" + body)
        if "error" in found:
            raise RefusedError(found["error"])
        return ParsedBody(
            [_sample(each) for each in found["samples"] or ()],
            _by_name(found["types"] or ()),
            _by_name(found["helps"] or ()),
            _by_name(found["units"] or ()),
            found["comments"] or [],
        )

    def _ask(self, request: bytes) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request)  # the program reads all of it before it answers
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the parser program has ended; its reason is on standard error"
        found: dict[str, Any] = json.loads(answer)
        return found


def _by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in pairs:
        if name in found:
            raise RefusedError(f"{name} has two lines of metadata of one kind: {found[name]!r} and {text!r}")
        found[name] = text
    return found


def _sample(found: Mapping[str, Any]) -> ParsedSample:
    labels = dict(found["labels"])
    return ParsedSample(
        found["series"],
        labels.pop("__name__"),
        labels,
        _histogram(found["histogram"]) if "histogram" in found else float(found["value"]),
        found.get("timestamp"),
        found.get("start"),
        tuple(
            ParsedExemplar(dict(each["labels"]), float(each["value"]), each.get("timestamp"))
            for each in found.get("exemplars", ())
        ),
    )


def _histogram(found: Mapping[str, Any]) -> ParsedHistogram:
    sides = [(_spans(found[f"{side}_spans"]), found[side]) for side in ("positive", "negative")]
    positive, negative = (dict(zip(_indexes(spans), map(float, counts), strict=True)) for spans, counts in sides)
    return ParsedHistogram(
        schema=found["schema"],
        zero_threshold=float(found["zero_threshold"]),
        zero_count=float(found["zero_count"]),
        count=float(found["count"]),
        sum=float(found["sum"]),
        positive=positive,
        negative=negative,
        positive_spans=sides[0][0],
        negative_spans=sides[1][0],
        custom=tuple(map(float, found["custom"])),
        float_counts=found["float"],
        gauge=found["gauge"],
    )


def _spans(found: Iterable[Mapping[str, int]]) -> tuple[tuple[int, int], ...]:
    return tuple((each["offset"], each["length"]) for each in found)


def _indexes(spans: Iterable[tuple[int, int]]) -> list[int]:
    """The index of each bucket; an offset counts from the end of the span before."""
    ends = list(accumulate((offset + length for offset, length in spans), initial=0))
    return [index for (_, length), end in zip(spans, ends[1:], strict=True) for index in range(end - length, end)]
