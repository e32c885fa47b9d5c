"""Budgets of workspaces: how much each may spend in a day, week or month of the UTC calendar.

A budget's period is that of the calendar: a day ends at midnight UTC, a week on Monday, a month on its first day. Budgets are
given as data, or as a JSON file that is read again when it changes:

    {"acme": {"USD": "100", "period": "month"}, "globex": {"USD": "2.50", "period": "day"}}
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from telemetry._base.json_text import parse_json
from telemetry._base.printable import shown
from telemetry._base.regular_file import read_regular_file
from telemetry.metric.label import INVALID, OTHER

__all__ = ["Budget", "BudgetFile", "Period", "day_of", "first_kept", "parse_budgets", "seconds_of"]

_WORKSPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HIGHEST = 10**12
"""Highest budget in USD: far below what a float counts to the cent."""
_MOST_DIGITS = 30
_FILE_BYTES = 2**20
_FRESH_SECONDS = 2.0
"""A file that changed less than this ago is read again even if it looks the same: its times may not tell two writes apart."""
_EPOCH = date(1970, 1, 1)
_DAY = 86_400
_RULE = 'an object of workspaces and budgets is needed, such as {"acme": {"USD": "100", "period": "month"}}'


def day_of(unix_seconds: float) -> date:
    """Returns the day in UTC."""
    return _EPOCH + timedelta(days=unix_seconds // _DAY)


def seconds_of(day: date) -> int:
    """Returns the Unix time at which the day begins in UTC."""
    return (day - _EPOCH).days * _DAY


class Period(Enum):
    """A period of the calendar in UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def first(self, day: date) -> date:
        """Returns the first day of the period that ``day`` is in; a week begins on Monday (ISO 8601)."""
        if self is Period.WEEK:
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self is Period.MONTH else day

    def end(self, day: date) -> date:
        """Returns the first day after the period that ``day`` is in."""
        if self is Period.MONTH:
            return (day.replace(day=1) + timedelta(days=31)).replace(day=1)
        return self.first(day) + timedelta(days=7 if self is Period.WEEK else 1)


def first_kept(day: date) -> date:
    """Returns the first day that a period which ``day`` is in can begin with."""
    return min(period.first(day) for period in Period)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a workspace may spend in each period.

    Attributes:
        amount: USD, above 0.
        period: The period in whose end the budget starts anew.
    """

    amount: Decimal
    period: Period


def parse_budgets(content: object) -> Mapping[str, Budget]:
    """Returns the budgets by workspace.

    Args:
        content: Budgets, or objects with ``USD`` (number or text) and ``period`` (``day``, ``week``, ``month``), by workspace.

    Raises:
        ValueError: The content is no such mapping; the message says what is allowed.
    """
    if not isinstance(content, Mapping):
        raise ValueError(_RULE)
    return MappingProxyType({_workspace(name): _budget(name, given) for name, given in content.items()})


def _workspace(name: object) -> str:
    if not isinstance(name, str) or not _WORKSPACE.fullmatch(name):
        raise ValueError(f"a workspace has letters, digits, '_', '.', '-', at most 64 of them, not {shown(name)}")
    if name in (OTHER, INVALID):
        raise ValueError(f"{name!r} cannot have a budget: its series are those of workspaces without one of their own")
    return name


def _budget(name: str, given: Any) -> Budget:
    if isinstance(given, Budget):
        given = {"USD": given.amount, "period": given.period.value}
    if not isinstance(given, Mapping) or set(given) != {"USD", "period"}:
        raise ValueError(f'the budget of {shown(name)} needs USD and period, such as {{"USD": "100", "period": "month"}}')
    amount, period = given["USD"], given["period"]
    try:
        number = Decimal(str(amount)) if isinstance(amount, str | int | float | Decimal) else None
    except ArithmeticError:
        number = None
    is_amount = number is not None and number.is_finite() and len(number.as_tuple().digits) <= _MOST_DIGITS
    if number is None or not is_amount or isinstance(amount, bool) or not 0 < number <= _HIGHEST:
        raise ValueError(f"the USD of {shown(name)} is {shown(amount)}; a number above 0 is needed, at most {_HIGHEST}")
    if not isinstance(period, str) or period not in [each.value for each in Period]:
        raise ValueError(f"the period of {shown(name)} is {shown(period)}; day, week or month is needed")
    return Budget(number, Period(period))


class BudgetFile:
    """Budgets from a file, which may be written while it is read.

    While the file is missing, cannot be read or holds no budgets, those read before stay.

    Args:
        path: The file: JSON of at most 1 MiB.
        report: Called with a sentence, and whether it tells of a failure: when the file cannot be used, when the reason
            changes, and when it can be used again.
        clock: Unix time in seconds.

    Raises:
        ValueError: It cannot be used now; the message says why.
    """

    def __init__(
        self, path: Path, report: Callable[[str, bool], None] = lambda _, __: None, clock: Callable[[], float] = time.time
    ) -> None:
        self._report = report
        self._path = path
        self._clock = clock
        self._trouble: str | None = None
        self._stamp = self._look()
        self._budgets = self._read()

    @property
    def budgets(self) -> Mapping[str, Budget]:
        """The budgets that hold now: those of the last ``refresh``."""
        return self._budgets

    def refresh(self) -> None:
        """Reads the file where its status says that it has changed. Never raises."""
        try:
            stamp = self._look()
            changed = max(stamp[-2:]) / 1e9
            if stamp == self._stamp and abs(self._clock() - changed) >= _FRESH_SECONDS:
                return
            self._budgets = self._read()
            self._stamp = stamp
            self._tell(None)
        except Exception as error:
            self._stamp = ()
            self._tell(str(error) if isinstance(error, ValueError) else type(error).__name__)

    def _look(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except (OSError, ValueError) as error:
            raise ValueError(f"it cannot be read ({getattr(error, 'strerror', None) or error})") from None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _read(self) -> Mapping[str, Budget]:
        try:
            data = read_regular_file(self._path, _FILE_BYTES)
        except OSError as error:
            raise ValueError(f"it cannot be read ({error.strerror})") from None
        return parse_budgets(parse_json(_text(data), Decimal))

    def _tell(self, trouble: str | None) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        kept = f"{trouble}: the budgets read before ({len(self._budgets)}) stay"
        self._report(kept if trouble else f"it can be used again (budgets: {len(self._budgets)})", bool(trouble))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8") from None
