"""A reader with Views of its own, for a provider that others build."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import View

from telemetry._sdk.live import UnexpectedSDKError, unexpected_sdk_errors

__all__ = ["ReaderWithViews"]

_logger = logging.getLogger(__name__)


class ReaderWithViews(MetricReader):
    """Adds its Views to its own streams, for the instruments that no View of its provider matches."""

    own_views: Sequence[View] = ()

    def _set_collect_callback(self, func: Any) -> None:  # type: ignore[misc]  # final, but the only call at attachment
        super()._set_collect_callback(func)
        try:
            with unexpected_sdk_errors():
                storage = func.__self__._reader_storages[self]
                storage._sdk_config = _WithViews(storage._sdk_config, self.own_views)
        except UnexpectedSDKError as error:
            _logger.warning("the SDK's state is not as expected, the reader's own Views are not used: %s", error)


class _WithViews:
    """A provider's configuration as one reader sees it. The rest of it stays the provider's: its resource may change."""

    def __init__(self, config: Any, views: Sequence[View]) -> None:
        self._config = config
        given = tuple(config.views)
        self.views = (*given, *(_Fallback(view, given) for view in views))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


class _Fallback:
    """A View that matches only what none of the ``others`` matches."""

    def __init__(self, view: Any, others: Sequence[Any]) -> None:
        self._view = view
        self._others = others

    def _match(self, instrument: Any) -> bool:
        return self._view._match(instrument) and not any(each._match(instrument) for each in self._others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)
