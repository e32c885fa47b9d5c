"""What a provider still allows: read from the headers of its answers, and shown as gauges while it is known.

for quota in quotas_of(response.headers.items()):
    telemetry.recorder.models.record_quota("openai", quota)
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from telemetry._base.fork import register_after_fork
from telemetry.agentos import catalogue_models as rows
from telemetry.agentos.series import SeriesCache
from telemetry.metric import Metric, ObservableKind

__all__ = ["Quota", "QuotaMetrics", "quotas_of"]

_KEPT_SECONDS = 300.0
"""How long an answer is believed, unless it says that its quota is reset later."""
_LATEST_RESET_SECONDS = 86_400.0
"""A later reset counts as this one: no gauge outlives the last answer by more than a day."""
_MOST = 10**15
"""A larger number is no quota: it stands for none, or is garbage."""
_LONGEST_TEXT = 64
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(rf"([0-9]+(?:\.[0-9]+)?)({'|'.join(_UNITS)})")
_DURATIONS = re.compile(rf"(?:{_DURATION.pattern})+")
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_WHOLE = re.compile(r"([0-9]+)(?:\.0+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?")
_NAMES = (
    # OpenAI, Azure (which had a hyphen more), Groq, LiteLLM; Mistral and Cerebras with the period at the end
    re.compile(r"x-rate-?limit-(?P<field>limit|remaining|reset)-(?P<what>requests|req|tokens)(?P<of>(?:-[a-z]+)?)"),
    # Anthropic
    re.compile(r"anthropic-ratelimit-(?P<of>(?:(?:input|output)-)?)(?P<what>requests|tokens)-(?P<field>limit|remaining|reset)"),
    # The IETF's draft until its version 07, which counts requests
    re.compile(r"ratelimit-(?P<field>limit|remaining|reset)(?P<what>)(?P<of>)"),
)


@dataclass(frozen=True, slots=True)
class Quota:
    """What a provider says about one of its limits; None for what it does not say.

    Attributes:
        resource: ``requests`` or ``tokens``.
        limit: How many it allows in its period.
        remaining: How many of them are left.
        reset: Seconds until all of the limit is left again.
    """

    resource: str
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None

    @property
    def share(self) -> float:
        """Remaining share of the limit, 1 where it is not known."""
        return 1.0 if not self.limit or self.remaining is None else self.remaining / self.limit


def quotas_of(headers: Iterable[tuple[str, str]], now: Callable[[], float] = time.time) -> tuple[Quota, ...]:
    """Returns what the headers of an answer say, at most one quota a resource. Nothing that they hold raises.

    Read are ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``
    (https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers), the same with a period at the end
    (``-minute``, ``-day``), ``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-*``
    (https://docs.anthropic.com/en/api/rate-limits#response-headers), and ``ratelimit-{limit,remaining,reset}``. Of several
    limits for one resource the one with the lowest remaining share counts. A header that comes twice, or has several values,
    counts with its lowest number, and with its latest reset.

    Numbers are whole and from 0 to 10**15; others say nothing: -1 is "not known" at one provider and "overdrawn" at another.
    A reset is a duration of Go (``6m0s``, ``12ms``), seconds, Unix time in seconds or milliseconds, or a date of RFC 3339. One
    that is not in the future says nothing: clocks differ.

    Args:
        headers: Names, in any case, with their values; a name may come more than once.
        now: The Unix time.
    """
    found: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for name, text in headers:
        for pattern in _NAMES if "rate" in (name := name.lower()) else ():
            if match := pattern.fullmatch(name):
                resource = "tokens" if match["what"] == "tokens" else "requests"
                fields = found.setdefault((resource, pattern.pattern, match["of"]), {})
                fields.setdefault(match["field"], []).extend(part.strip() for part in text.split(","))
    quotas = [_quota(key[0], fields, now()) for key, fields in found.items()]
    known = [quota for quota in quotas if quota.limit is not None or quota.remaining is not None]
    known.sort(key=lambda quota: (quota.remaining is None, quota.share), reverse=True)
    return tuple({quota.resource: quota for quota in known}.values())  # of one resource the last one


def _quota(resource: str, fields: Mapping[str, list[str]], now: float) -> Quota:
    limits, left = ([n for text in fields.get(f, ()) if (n := _number(text)) is not None] for f in ("limit", "remaining"))
    resets = [seconds for text in fields.get("reset", ()) if (seconds := _seconds_until(text, now)) is not None]
    return Quota(resource, min(limits, default=None), min(left, default=None), max(resets, default=None))


def _number(text: str) -> int | None:
    match = _WHOLE.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    number = int(match[1]) if match else None
    return number if number is not None and number <= _MOST else None


def _seconds_until(text: str, now: float) -> float | None:
    """The seconds of a reset, None for one that is not in the future, or not understood."""
    if len(text) > _LONGEST_TEXT:
        return None
    if _DURATIONS.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    elif _DECIMAL.fullmatch(text):
        number = float(text)
        seconds = number / 1000 - now if number >= 1e12 else number - now if number >= 1e9 else number
    elif _DATE.fullmatch(text):
        try:
            date = datetime.fromisoformat(text.upper())
        except ValueError:
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    else:
        return None
    return seconds if seconds > 0 else None


class _Seen(NamedTuple):
    """A quota, and the times on the telemetry's clock at which all of it is left again, and it is no longer known."""

    limit: int | None
    remaining: int | None
    reset: float | None
    gone: float


class QuotaMetrics:
    """Shows the last quota of each provider and resource as gauges, where the telemetry's catalogue has the rows.

    A series is absent until a quota is recorded. What is remaining holds until the reset; from then on it is the whole limit,
    which is what a reset means, or absent where no limit was said. Both series are gone five minutes after the last answer,
    or at the reset where that is later, at most after a day. Under several workers each has what it was told, and the lowest
    of the living workers' values is shown.
    """

    def __init__(self, cache: SeriesCache) -> None:
        self._cache = cache
        self._seen: dict[tuple[str, ...], _Seen] = {}
        self._watch(rows.QUOTA_LIMIT, lambda seen, _: seen.limit)
        self._watch(rows.QUOTA_REMAINING, _remaining)
        register_after_fork(self._reset_after_fork)

    def record(self, provider: str, quota: Quota) -> None:
        """Takes what a provider said in place of what it said before. A quota with neither number changes nothing.

        Nothing raises: a number that is no quota is left out, and a failure of the telemetry is counted and logged once.
        """
        try:
            limit, remaining = _checked(quota.limit), _checked(quota.remaining)
            if (limit is None and remaining is None) or not self._cache.has(rows.QUOTA_REMAINING):
                return
            series = self._cache.telemetry.domains.admit_values(rows.QUOTA_REMAINING, (provider, quota.resource))
            now, reset = self._cache.clock(), quota.reset
            seconds = min(reset, _LATEST_RESET_SECONDS) if reset is not None and reset > 0 else None
            at = None if seconds is None else now + seconds
            self._seen[series] = _Seen(limit, remaining, at, now + max(seconds or 0.0, _KEPT_SECONDS))
        except Exception as error:
            self._cache.record_failure(error)

    def _watch(self, metric: Metric[ObservableKind], value: Callable[[_Seen, float], int | None]) -> None:
        def read() -> Mapping[tuple[str, ...], int]:
            now = self._cache.clock()
            known = [(series, value(seen, now)) for series, seen in list(self._seen.items()) if now < seen.gone]
            return {series: number for series, number in known if number is not None}

        if self._cache.has(metric):
            self._cache.telemetry[metric].watch(read)

    def _reset_after_fork(self) -> None:
        self._seen.clear()


def _remaining(seen: _Seen, now: float) -> int | None:
    if seen.remaining is None or seen.reset is None or now < seen.reset:
        return seen.remaining
    return seen.limit


def _checked(number: object) -> int | None:
    """The number of a provider of one's own, None for one that is no quota."""
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= _MOST else None
