"""Names in Prometheus: of metrics, from their OpenTelemetry name and unit, and of label keys.

Catalogue, dashboards and exposition all name their metrics here, so that a query names what /metrics shows.
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-metadata-1
"""

from __future__ import annotations

import re
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Literal, NamedTuple

__all__ = [
    "UNIT_WORDS",
    "Escaping",
    "FamilyName",
    "FamilyType",
    "Translation",
    "escape_name",
    "family_name",
    "is_plain",
    "label_key",
    "unit_word",
]

FamilyType = Literal["counter", "gauge", "histogram", "info"]
"""Type of a metric in Prometheus."""


class Translation(Enum):
    """How names are translated. The values are those of OpenTelemetry's ``translation_strategy``."""

    UNDERSCORES = "UnderscoreEscapingWithSuffixes"
    """Underscores for other characters than letters, digits and ``_:``; unit and ``_total`` appended; for every scraper."""
    UNDERSCORES_WITHOUT_SUFFIXES = "UnderscoreEscapingWithoutSuffixes"
    """Underscores, but neither unit nor ``_total`` (a counter keeps ``_total`` in OpenMetrics, which demands it)."""
    UTF8 = "NoUTF8EscapingWithSuffixes"
    """Unchanged names with suffixes, in the escaping that the scraper asks for; ``UNDERSCORES`` where it asks for none."""
    NONE = "NoTranslation"
    """Unchanged names without suffixes, in the escaping asked for; ``UNDERSCORES_WITHOUT_SUFFIXES`` where none is."""

    @property
    def suffixes(self) -> bool:
        """Whether unit and ``_total`` are appended."""
        return self in (Translation.UNDERSCORES, Translation.UTF8)

    @property
    def utf8(self) -> bool:
        """Whether names may have any UTF-8 characters, which a scraper gets in the escaping that it asks for."""
        return self in (Translation.UTF8, Translation.NONE)


class Escaping(StrEnum):
    """How a scraper wants names with other characters than letters, digits and ``_:``. The values are those of the header.

    https://prometheus.io/docs/instrumenting/escaping_schemes/
    """

    UNDERSCORES = "underscores"
    """OpenTelemetry's underscores."""
    ALLOW_UTF8 = "allow-utf-8"
    """Unchanged, in quotes."""
    DOTS = "dots"
    """``a.b_c`` becomes ``a_dot_b__c``."""
    VALUES = "values"
    """``a.b_c`` becomes ``U__a_2e_b__c``, which can be read back."""


UNIT_WORDS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "ratio",
    "%": "percent",
}
"""Word in a Prometheus name by UCUM unit; that of ``1`` is for gauges. Other units are spelled as they are, without special
characters: ``kBy`` and a ``min`` after a slash too, which Prometheus and the stock exporter leave alone."""
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}

_SUFFIXES: dict[FamilyType, tuple[str, ...]] = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count", "_created"),
    "info": ("", "_info"),
}
_ANNOTATION = re.compile(r"\{[^}]*\}")
_PLAIN_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PLAIN_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_CHARACTER = re.compile(r"[a-zA-Z0-9_:]")
_LABEL_CHARACTER = re.compile(r"[a-zA-Z0-9_]")


class FamilyName(NamedTuple):
    """What a metric is called in Prometheus.

    Attributes:
        family: Name of the family in OpenMetrics, without ``_total`` and ``_info``.
        text: Name of the family in the text format 0.0.4, and of its samples (a histogram's have a suffix).
        unit: OpenMetrics unit; empty where ``family`` does not end in it, as OpenMetrics demands.
        samples: Every name that belongs to the family: no other family may use one of them.
    """

    family: str
    text: str
    unit: str
    samples: tuple[str, ...]


def family_name(
    name: str,
    unit: str,
    type_: FamilyType,
    translation: Translation = Translation.UNDERSCORES,
    *,
    escaping: Escaping = Escaping.UNDERSCORES,
) -> FamilyName:
    """Returns what a metric is called in Prometheus.

    A series has one name, whether it is scraped or pushed: the rules are OpenTelemetry's, as Prometheus' own translation of
    OTLP and the stock Python exporter read them. Where these three differ:

    - Unit ``1`` gives ``_ratio`` to gauges alone, as in Prometheus. The text names no type; the stock exporter adds nothing.
      An up-down counter is a gauge in Prometheus and gets ``_ratio``; when it is pushed, Prometheus adds nothing.
    - A unit that stands in the name already is not added again (text, Prometheus): ``seconds.elapsed`` in ``s`` stays
      ``seconds_elapsed``. The stock exporter looks at the end alone.
    - A unit of two parts is added as a whole (text, stock exporter): ``x.bytes`` in ``By/s`` becomes
      ``x_bytes_bytes_per_second``. Prometheus looks for each part: ``x_bytes_per_second``.
    - ``total`` and ``ratio`` within a name stay there (text, stock exporter). Prometheus moves them to the end.
    - Only what braces enclose is dropped from a unit (text): ``{x}By`` gives ``bytes``. Prometheus drops ``{x}By`` wholly.
    - A gauge without a unit keeps a ``_`` at its name's end (text, stock exporter). Prometheus drops it. Before a suffix
      two underscores become one (text, Prometheus).
    - A leading digit is kept after a ``_`` (Prometheus). The stock exporter replaces it.

    Args:
        name: The OpenTelemetry instrument's name, in lower case as the SDK keeps it.
        unit: The instrument's unit (UCUM), such as ``s``, ``By/s`` or ``{request}``.
        type_: The family's type.
        translation: How names are translated.
        escaping: What the scraper does with UTF-8 names; without effect on the translations that make none. The name is
            escaped with ``_total`` and ``_info``, and before a histogram's suffixes, as prometheus/common does.
    """
    utf8 = translation.utf8 and escaping is not Escaping.UNDERSCORES
    if not utf8:
        name = _underscores(name, keep=":")
    total = name.endswith("_total")
    base = (name.removesuffix("_total") or name) if type_ == "counter" else name
    word = unit_word(unit, type_)
    if translation.suffixes and word and not _has(base, word):
        base = f"{base.removesuffix('_')}_{word}"
    elif translation.suffixes and not utf8 and type_ in ("counter", "histogram"):
        base = base.removesuffix("_") or base  # a suffix follows, and two underscores become one
    text = base
    if type_ == "info":
        base = base.removesuffix("_info").removesuffix(".info") or base
        text = f"{base}_info"
    elif type_ == "counter" and (translation.suffixes or total):
        text = f"{base}_total"
    if utf8:
        suffix = text.removeprefix(base)
        text = escape_name(text, escaping)
        base = text.removesuffix(suffix)
    shown_unit = word if type_ != "info" and word and is_plain(word) and base.endswith(f"_{word}") else ""
    return FamilyName(base, text, shown_unit, tuple(base + suffix for suffix in _SUFFIXES[type_]))


def _has(name: str, word: str) -> bool:
    """Returns whether the word stands in the name, between dots or underscores."""
    return f"_{word}_" in f"_{name.replace('.', '_')}_"


@lru_cache(maxsize=1024)
def unit_word(unit: str, type_: FamilyType = "gauge") -> str:
    """Returns the unit's word in a name: ``s`` -> ``seconds``, ``By/s`` -> ``bytes_per_second``, ``{call}`` -> nothing."""
    unit = _ANNOTATION.sub("", unit).strip()
    if unit == "1" and type_ != "gauge":
        return ""
    if unit in UNIT_WORDS:
        return UNIT_WORDS[unit]
    top, slash, bottom = unit.partition("/")
    if not slash:
        return _bare(unit)
    below = _PER.get(bottom, _bare(bottom))
    above = "" if top == "1" else UNIT_WORDS.get(top, _bare(top))
    return "_".join(part for part in (above, f"per_{below}" if below else "") if part)


def _bare(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "_", text).strip("_")


def _underscores(name: str, keep: str = "") -> str:
    """Turns each run of other characters into one ``_``, and puts one before a leading digit."""
    name = re.sub(rf"[^a-zA-Z0-9{keep}]+", "_", name)
    return f"_{name}" if not name or name[0].isdigit() else name


def is_plain(name: str, *, label: bool = False) -> bool:
    """Returns whether every version of Prometheus accepts the name of a metric or label without quotes."""
    return (_PLAIN_LABEL if label else _PLAIN_METRIC).fullmatch(name) is not None


def escape_name(name: str, escaping: Escaping, *, label: bool = False) -> str:
    """Returns the name of a metric or label in an escaping; one that every Prometheus accepts stays as it is.

    The rules are ``model.EscapeName`` and ``EscapeMetricFamily`` of https://github.com/prometheus/common/tree/main/model.
    There a label keeps a ``:``, which makes it unreadable in the text formats; here it is escaped. What UTF-8 cannot encode
    becomes ``?`` first, and so do null bytes, which Prometheus' parsers refuse in names.
    """
    if not name or is_plain(name, label=label):
        return name
    name = name.encode("utf-8", "replace").decode().replace("\0", "?")
    if escaping is Escaping.ALLOW_UTF8:
        return name
    plain = _LABEL_CHARACTER if label else _METRIC_CHARACTER
    # Before the first character of a name a digit is none of its characters.
    parts = [c if plain.match(c) and (i or not c.isdigit()) else _escaped(c, escaping) for i, c in enumerate(name)]
    if escaping is Escaping.UNDERSCORES:
        return "".join(parts)
    text = "".join("__" if part == "_" else part for part in parts)
    return f"U__{text}" if escaping is Escaping.VALUES else text


def _escaped(character: str, escaping: Escaping) -> str:
    if escaping is Escaping.VALUES:
        return f"_{ord(character):x}_"
    if escaping is Escaping.DOTS:
        return "_dot_" if character == "." else "__"
    return "_"


@lru_cache(maxsize=4096)
def label_key(key: str, *, escaping: Escaping = Escaping.UNDERSCORES) -> str:
    """Returns an attribute's key as a label key; ``le``, which the buckets need, becomes ``exported_le``."""
    key = _underscores(key) if escaping is Escaping.UNDERSCORES or not key else escape_name(key, escaping, label=True)
    return f"exported_{key}" if key in ("le", "__name__") else key
