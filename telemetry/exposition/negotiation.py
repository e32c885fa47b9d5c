"""Content negotiation by RFC 9110: which format, how names are escaped, and how the body is compressed.

The answer is always one of a few fixed values; no text of a header is repeated in it. A header that cannot be parsed means the
default: text 0.0.4, not compressed. The parameters are those of Prometheus:
https://prometheus.io/docs/instrumenting/content_negotiation/
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum
from typing import Literal, NamedTuple

from telemetry.metric.naming import Escaping

__all__ = ["Choice", "ContentCoding", "Escaping", "Format", "choose", "choose_encoding", "has_prometheus_parser", "prefers"]

ContentCoding = Literal["zstd", "gzip"]
"""How a body is compressed."""

_MAX_HEADER = 8192
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# An unclosed quote runs to the end. The possessive quantifiers read it once, not again from each of its characters.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_RANGE = re.compile(rf"\s*({_WORD})/({_WORD})\s*(;.*)?", re.DOTALL)
_PARAMETER = re.compile(rf'\s*;\s*(?:({_WORD})\s*=\s*("(?:[^"\\]|\\.)*"|{_WORD})\s*|(?=;|$))')
_CODING = re.compile(rf"\s*({_WORD})\s*(;.*)?")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


_OPENMETRICS_2 = re.compile(r"2\.0\.0(?:-rc\.?[0-9]*)?")
_PROTOBUF = {"proto": "io.prometheus.client.metricfamily", "encoding": "delimited"}


class Format(Enum):
    """An exposition format: media type and version. Of two that a client wants equally the later one says more."""

    TEXT = ("text/plain", "0.0.4")
    TEXT_1 = ("text/plain", "1.0.0")
    OPENMETRICS = ("application/openmetrics-text", "1.0.0")
    OPENMETRICS_2 = ("application/openmetrics-text", "2.0.0")
    PROTOBUF = ("application/vnd.google.protobuf", "")
    """Messages ``io.prometheus.client.MetricFamily``, each behind its length; it has no version."""


class Choice(NamedTuple):
    """The negotiated format, and the escaping of names that the client asks for in it."""

    format: Format = Format.TEXT
    escaping: Escaping = Escaping.UNDERSCORES

    @property
    def content_type(self) -> str:
        """The header's value. It names the escaping, except for text 0.0.4, which has no such parameter."""
        media_type, version = self.format.value
        if self.format is Format.PROTOBUF:
            kind = f"{media_type}; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        else:
            kind = f"{media_type}; version={version}; charset=utf-8"
        return kind if self.format is Format.TEXT else f"{kind}; escaping={self.escaping.value}"


class _Range(NamedTuple):
    """One media range of an ``Accept`` header."""

    media_type: str
    parameters: dict[str, str]
    weight: float

    def specificity(self, media_type: str) -> int:
        """How closely the range names the type: 3 by name, 2 ``text/*``, 1 ``*/*``, 0 not at all."""
        if self.media_type == media_type:
            return 3
        if self.media_type == media_type.split("/")[0] + "/*":
            return 2
        return 1 if self.media_type == "*/*" else 0

    def names(self, format_: Format) -> int:
        """How closely the range names the format: as ``specificity``, and 4 with its version.

        A wildcard, and a range without a version, mean text 0.0.4 or OpenMetrics 1.0.0: the other formats must be named whole.
        """
        closeness = self.specificity(format_.value[0])
        if closeness == 3 and format_ is Format.PROTOBUF:
            named = {key: self.parameters.get(key, "").lower() for key in _PROTOBUF}
            return 4 if named == _PROTOBUF else 0
        version = self.parameters.get("version")
        if closeness == 3 and version is not None:
            known = (
                _OPENMETRICS_2.fullmatch(version.lower()) if format_ is Format.OPENMETRICS_2 else version == format_.value[1]
            )
            return 4 if known else 0
        return closeness if format_ in (Format.TEXT, Format.OPENMETRICS) else 0

    @property
    def escaping(self) -> Escaping:
        """The escaping asked for; underscores where none or an unknown one is, as in Prometheus' library."""
        asked = self.parameters.get("escaping", "").lower()
        return next((one for one in Escaping if one.value == asked), Escaping.UNDERSCORES)


_WILDCARD = _Range("*/*", {}, 0.0)
_OURS = {"*/*", "text/*", "application/*", *(each.value[0] for each in Format)}


def choose(accept: str | None) -> Choice:
    """Returns the format for an ``Accept`` header.

    It is the one with the highest weight; of equal ones those that are named, not covered by a wildcard; of these the last in
    ``Format``, wherever the header has it. Without a header, or where nothing that is served is accepted, it is text 0.0.4.

    A range with another version than those served does not match. So OpenMetrics 0.0.1, which Prometheus 2.5 to 2.38 name as
    the only OpenMetrics, is passed over, and they get the text 0.0.4 that they name too. Prometheus' library answers that draft
    with the body of 1.0.0; no text says what a reader of the draft takes.

    The escaping is that of the range which decided: of those that name the format most closely the one with the highest weight,
    of equal ones the first.
    """
    ranges = [one for one in _ranges(accept) if one.media_type in _OURS]
    best, best_rank, decisive = Format.TEXT, (0.0, 0), _WILDCARD
    for format_ in Format:
        # max() takes the first of equal ones.
        one = max(ranges, key=lambda each: (each.names(format_), each.weight), default=_WILDCARD)
        rank = (one.weight, min(one.names(format_), 3))
        if one.weight > 0 and rank[1] and (rank > best_rank or (rank == best_rank and rank[1] == 3)):
            best, best_rank, decisive = format_, rank, one
    return Choice(best, decisive.escaping if best_rank[1] == 3 else Escaping.UNDERSCORES)


def has_prometheus_parser(accept: str | None) -> bool:
    """Whether the client reads protobuf by Prometheus' parser: it names OpenMetrics too.

    Prometheus and what is built on its scrapes (Collector, Alloy) do by default. Programs that decode protobuf by themselves
    and keep families by name, such as Telegraf and prom2json, name protobuf and text.
    """
    return any(one.media_type == Format.OPENMETRICS.value[0] and one.weight > 0 for one in _ranges(accept))


def prefers(accept: str | None, media_type: str, default: str) -> bool:
    """Whether an ``Accept`` header prefers a media type to the default one.

    It does where the type has the higher weight, and where both have the same and the type is named exactly: a client that
    names it can read it. A type of weight 0 is refused.
    """
    ranges = _ranges(accept)
    weight, specificity = _weight(ranges, media_type)
    other, _ = _weight(ranges, default)
    return weight > other or (weight == other > 0 and specificity >= 3)


def _ranges(accept: str | None) -> list[_Range]:
    if accept is None or len(accept) > _MAX_HEADER:
        return []
    found = (_range(element) for element in _ELEMENT.findall(accept))
    return [one for one in found if one is not None]


def _range(element: str) -> _Range | None:
    match = _RANGE.fullmatch(element)
    parameters = _parameters(match[3] or "") if match is not None else None
    if match is None or parameters is None:
        return None
    weight = parameters.pop("q", "1")
    return _Range(f"{match[1]}/{match[2]}".lower(), parameters, float(weight)) if _WEIGHT.fullmatch(weight) else None


def _weight(ranges: list[_Range], media_type: str) -> tuple[float, int]:
    """The weight of a media type and how closely it is named; 0 for both where no range matches.

    The most specific range that matches has the weight (RFC 9110, 12.5.1); of two equally specific ones the higher.
    """
    specificity, weight = max(
        ((one.specificity(media_type), one.weight) for one in ranges if one.specificity(media_type)), default=(0, 0.0)
    )
    return weight, specificity


def _parameters(text: str) -> dict[str, str] | None:
    """Parameters by lower-case name; None where they cannot be parsed. Parameters after ``q`` are not part of the range."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match.end() == position:
            return None
        position = match.end()
        if match[1] is not None and "q" not in found:
            value = match[2]
            found.setdefault(match[1].lower(), re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value)
    return found


def choose_encoding(header: str | None, available: Collection[str]) -> ContentCoding | None:
    """Returns how to compress for an ``Accept-Encoding`` header; None: not at all.

    It is the coding with the highest weight, if that is at least the weight of ``identity``; of equal ones zstd, which
    Prometheus lists first (feature flag ``zstd-scrape``). ``*`` stands for gzip alone: zstd is used where it is named.

    Args:
        header: The header's value. Of a coding that it lists twice the first weight counts.
        available: The codings that can be used.
    """
    weights = _codings(header)
    found: list[tuple[float, ContentCoding]] = []
    if "zstd" in available:
        found.append((weights.get("zstd", 0.0), "zstd"))
    if "gzip" in available:
        found.append((weights.get("gzip", weights.get("*", 0.0)), "gzip"))
    weight, coding = max(found, key=lambda each: each[0], default=(0.0, None))
    return coding if weight > 0 and weight >= weights.get("identity", 0.0) else None


def _codings(header: str | None) -> dict[str, float]:
    """The weight of each coding that an ``Accept-Encoding`` header lists, by lower-case name."""
    weights: dict[str, float] = {}
    if header is None or len(header) > _MAX_HEADER:
        return weights
    for element in header.split(","):
        match = _CODING.fullmatch(element)
        parameters = _parameters(match[2] or "") if match else None
        weight = parameters.get("q", "1") if parameters is not None else ""
        if match is not None and _WEIGHT.fullmatch(weight):
            coding = match[1].lower()
            weights.setdefault("gzip" if coding == "x-gzip" else coding, float(weight))
    return weights
