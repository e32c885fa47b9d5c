"""Where the exposition says what went wrong: counted in ``Trouble`` where one is given, logged once in any case."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Protocol

__all__ = ["CALLBACK_FAILURES", "CLASHES", "REFUSED", "Report", "TroubleCounter"]

CLASHES = "agentos.telemetry.clashes"
CALLBACK_FAILURES = "agentos.telemetry.callback_failures"
REFUSED = "agentos.telemetry.refused_scrapes"

_MOST_LOGGED = 1000
_logger = logging.getLogger("telemetry.exposition")


class TroubleCounter(Protocol):
    """What is needed of ``telemetry._base.diagnostics.Trouble``."""

    def count(self, metric_name: str, *label_values: str) -> None:
        """Add one to a counter of the telemetry itself."""

    def log_once(self, key: Hashable, message: str, *args: object) -> None:
        """Log a warning the first time ``key`` is seen."""


class Report:
    """A ``Trouble`` or, where the host has none, a plain logger that says each thing once."""

    def __init__(self, trouble: TroubleCounter | None) -> None:
        self._trouble = trouble
        self._logged: set[Hashable] = set()

    def count(self, metric_name: str, *label_values: str) -> None:
        """Count one trouble; lost where the host keeps no counters."""
        if self._trouble is not None:
            self._trouble.count(metric_name, *label_values)

    def log_once(self, key: Hashable, message: str, *args: object) -> None:
        """Log a warning the first time ``key`` is seen; after a thousand keys nothing new is logged."""
        if self._trouble is not None:
            self._trouble.log_once(key, message, *args)
        elif key not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(key)
            _logger.warning(message, *args)
