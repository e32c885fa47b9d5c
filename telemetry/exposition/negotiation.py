"""Content negotiation by RFC 9110: which of the two text formats, and whether gzip.

The answer is always one of a few fixed strings. A header that cannot be parsed means the default: text 0.0.4, not compressed.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

__all__ = ["Choice", "Format", "accepts_gzip", "choose"]

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
    OPENMETRICS = ("application/openmetrics-text", "1.0.0")


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
    specificity: int
    weight: float
    utf8: bool


def choose(accept: str | None) -> Choice:
    """Returns the format for an ``Accept`` header: the highest weight; of equal ones the exactly named, then OpenMetrics.

    Wildcards and no header mean text 0.0.4. A range with another version than the one served does not match.
    """
    best = Choice()
    best_rank = (0.0, 0)
    if accept is None or len(accept) > _MAX_HEADER:
        return best
    elements = [element for element in _ELEMENT.findall(accept) if element.strip()]
    for format_ in (Format.TEXT, Format.OPENMETRICS):
        matching = [found for found in (_match(element, format_) for element in elements) if found is not None]
        if not matching:
            continue
        # The most specific range that matches has the weight (RFC 9110, 12.5.1); of two equally specific ones the higher.
        closest = max(matching, key=lambda found: (found.specificity, found.weight))
        rank = (closest.weight, min(closest.specificity, 3))
        named = closest.specificity >= 3
        if closest.weight > 0 and (rank > best_rank or (rank == best_rank and named)):
            utf8 = any(found.utf8 for found in matching if found.weight > 0)
            best, best_rank = Choice(format_, utf8), rank
    return best


def _match(element: str, format_: Format) -> _Range | None:
    media_type, version = format_.value
    match = _RANGE.fullmatch(element)
    if match is None:
        return None
    wanted, parameters = f"{match[1]}/{match[2]}".lower(), _parameters(match[3] or "")
    if parameters is None:
        return None
    weight = parameters.pop("q", "1")
    if not _WEIGHT.fullmatch(weight):
        return None
    if wanted == media_type:
        if parameters.get("version", version) != version:
            return None
        specificity = 4 if "version" in parameters else 3
    elif wanted == media_type.split("/")[0] + "/*":
        specificity = 2
    elif wanted == "*/*":
        specificity = 1
    else:
        return None
    return _Range(specificity, float(weight), parameters.get("escaping", "").lower() == "allow-utf-8")


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
