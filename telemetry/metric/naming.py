"""Names: OpenTelemetry's instrument names, units and attribute keys as Prometheus spells them.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-metadata-1
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

__all__ = ["Translation", "is_plain", "label_key", "metric_name", "unit_word"]


class Translation(Enum):
    """How names are translated. The values are those of OpenTelemetry's ``translation_strategy``."""

    UNDERSCORES = "UnderscoreEscapingWithSuffixes"
    """Underscores for what Prometheus did not always allow, unit and ``_total`` appended. Whatever the scraper would
    accept.
    """
    UNDERSCORES_WITHOUT_SUFFIXES = "UnderscoreEscapingWithoutSuffixes"
    """Underscores, but neither unit nor ``_total`` (OpenMetrics demands ``_total``: there a counter keeps it)."""
    UTF8 = "NoUTF8EscapingWithSuffixes"
    """Names as they are, with suffixes, for a scraper that accepts ``escaping=allow-utf-8``; as ``UNDERSCORES`` for
    others.
    """
    NONE = "NoTranslation"
    """Names as they are, without suffixes, where accepted; as ``UNDERSCORES_WITHOUT_SUFFIXES`` for others."""

    @property
    def suffixes(self) -> bool:
        """Whether unit and ``_total`` are appended."""
        return self in (Translation.UNDERSCORES, Translation.UTF8)

    @property
    def utf8(self) -> bool:
        """Whether a scraper that accepts UTF-8 names gets them."""
        return self in (Translation.UTF8, Translation.NONE)


_UNITS = {
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
    "kBy": "kilobytes",
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
_PER = {"s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}

_ANNOTATION = re.compile(r"\{[^}]*\}")
_PLAIN_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PLAIN_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def is_plain(name: str, *, label: bool = False) -> bool:
    """Whether every Prometheus ever accepts the name without quotes."""
    return (_PLAIN_LABEL if label else _PLAIN_METRIC).fullmatch(name) is not None


def _underscores(name: str, keep: str = "") -> str:
    """Other characters become ``_``, several in a row one, and a digit in front gets one before it."""
    name = re.sub(rf"[^a-zA-Z0-9{keep}]+", "_", name)
    return f"_{name}" if not name or name[0].isdigit() else name


@lru_cache(maxsize=1024)
def unit_word(unit: str) -> str:
    """The unit's word in a name: ``s`` -> ``seconds``, ``By/s`` -> ``bytes_per_second``, ``1`` -> ``ratio``,
    ``{call}`` -> nothing.
    """
    unit = _ANNOTATION.sub("", unit).strip()
    if unit in _UNITS:
        return _UNITS[unit]
    top, slash, bottom = unit.partition("/")
    if not slash:
        return _bare(unit)
    below = _PER.get(bottom, _bare(bottom))
    above = "" if top == "1" else _UNITS.get(top, _bare(top))
    return "_".join(part for part in (above, f"per_{below}" if below else "") if part)


def _bare(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "_", text).strip("_")


def metric_name(name: str, unit: str, translation: Translation, *, utf8: bool, counter: bool) -> str:
    """The family's name, unit suffix included; ``_total`` of a counter is left off, for its samples to carry."""
    if not utf8:
        name = _underscores(name, keep=":")
    if not translation.suffixes:
        return name.removesuffix("_total") if counter else name
    if counter:
        name = name.removesuffix("_total") or name
    word = unit_word(unit)
    return f"{name.removesuffix('_')}_{word}" if word and not _has(name, word) else name


def _has(name: str, word: str) -> bool:
    return name == word or name.endswith(("_" + word, "." + word))


@lru_cache(maxsize=4096)
def label_key(key: str, *, utf8: bool) -> str:
    """The label's key; ``le``, which the buckets need, becomes ``exported_le``."""
    if not utf8 or not key:
        key = _underscores(key)
    return f"exported_{key}" if key in ("le", "__name__") else key
