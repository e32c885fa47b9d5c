"""Content negotiation by RFC 9110: which of two media types, which of the two text formats, and whether gzip.

The answer is always one of a few fixed values. A header that cannot be parsed means the default: text 0.0.4, not compressed.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

__all__ = ["Choice", "Format", "accepts_gzip", "choose", "prefers"]

_MAX_HEADER = 8192
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# An unclosed quote runs to the end. The possessive quantifiers read it once, not again from each of its characters.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_RANGE = re.compile(rf"\s*({_WORD})/({_WORD})\s*(;.*)?", re.DOTALL)
_PARAMETER = re.compile(rf'\s*;\s*(?:({_WORD})\s*=\s*("(?:[^"\\]|\\.)*"|{_WORD})\s*|(?=;|$))')
_CODING = re.compile(rf"\s*({_WORD})\s*(;.*)?")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


class Format(Enum):
    """A text format: media type, version."""

    TEXT = ("text/plain", "0.0.4")
    TEXT_1 = ("text/plain", "1.0.0")
    OPENMETRICS = ("application/openmetrics-text", "1.0.0")
    OPENMETRICS_2 = ("application/openmetrics-text", "2.0.0")
    PROTOBUF = ("application/vnd.google.protobuf", "")


class Choice(NamedTuple):
    """The negotiated format."""

    format: Format = Format.TEXT
    utf8: bool = False
    """Whether the client accepts UTF-8 names in this format."""

    @property
    def content_type(self) -> str:
        """The header's value."""
        media_type, version = self.format.value
        return f"{media_type}; version={version}; charset=utf-8{'; escaping=allow-utf-8' if self.utf8 else ''}"


class _Range(NamedTuple):
    """One media range of an ``Accept`` header."""

    media_type: str
    parameters: dict[str, str]
    weight: float

    def specificity(self, media_type: str, version: str | None = None) -> int:
        """How closely the range names the type: 4 with its version, 3 by name, 2 ``text/*``, 1 ``*/*``, 0 not at all."""
        if self.media_type == media_type:
            if version is None or "version" not in self.parameters:
                return 3
            return 4 if self.parameters["version"] == version else 0
        if self.media_type == media_type.split("/")[0] + "/*":
            return 2
        return 1 if self.media_type == "*/*" else 0


def choose(accept: str | None) -> Choice:
    """Returns the format for an ``Accept`` header: the highest weight; of equal ones the exactly named, then OpenMetrics.

    Wildcards and no header mean text 0.0.4. A range with another version than the one served does not match.
    """
    best = Choice()
    best_rank = (0.0, 0)
    ranges = _ranges(accept)
    for format_ in (Format.TEXT, Format.OPENMETRICS):
        weight, specificity = _weight(ranges, *format_.value)
        rank = (weight, min(specificity, 3))
        if weight > 0 and (rank > best_rank or (rank == best_rank and specificity >= 3)):
            utf8 = any(one.parameters.get("escaping", "").lower() == "allow-utf-8" for one in _of(ranges, format_))
            best, best_rank = Choice(format_, utf8), rank
    return best


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


def _weight(ranges: list[_Range], media_type: str, version: str | None = None) -> tuple[float, int]:
    """The weight of a media type and how closely it is named; 0 for both where no range matches.

    The most specific range that matches has the weight (RFC 9110, 12.5.1); of two equally specific ones the higher.
    """
    specificity, weight = max(
        ((one.specificity(media_type, version), one.weight) for one in ranges if one.specificity(media_type, version)),
        default=(0, 0.0),
    )
    return weight, specificity


def _of(ranges: list[_Range], format_: Format) -> list[_Range]:
    return [one for one in ranges if one.weight > 0 and one.specificity(*format_.value)]


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


def accepts_gzip(header: str | None) -> bool:
    """Whether ``Accept-Encoding`` accepts gzip, with at least the weight of ``identity``."""
    if header is None or len(header) > _MAX_HEADER:
        return False
    weights: dict[str, float] = {}
    for element in header.split(","):
        match = _CODING.fullmatch(element)
        parameters = _parameters(match[2] or "") if match else None
        weight = parameters.get("q", "1") if parameters is not None else ""
        if match is not None and _WEIGHT.fullmatch(weight):
            coding = match[1].lower()
            weights.setdefault("gzip" if coding == "x-gzip" else coding, float(weight))
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)
