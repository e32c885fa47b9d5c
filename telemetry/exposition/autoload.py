"""The readers that OpenTelemetry's own configuration loads by name, each behind an HTTP server of its own.

``OTEL_METRICS_EXPORTER=agentos`` loads ``AutoReader``; ``agentos:`` under ``pull: exporter:`` of a declarative configuration
(``OTEL_CONFIG_FILE``) calls ``pull_reader`` with the properties of OpenTelemetry's Prometheus exporter.
https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/prometheus/
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT
from prometheus_client import REGISTRY

from telemetry._base.fork import register_after_fork
from telemetry._base.printable import printable, shown
from telemetry._sdk.views import ReaderWithViews
from telemetry.exposition.reader import PrometheusReader
from telemetry.exposition.serve import MetricsServer, ServeError, start_http_server
from telemetry.instruments.views import views
from telemetry.metric.definition import Catalogue
from telemetry.metric.naming import Translation

__all__ = ["AutoReader", "ReaderSettingsError", "pull_reader"]

_HOST = "localhost"
_PORT = 9464
_SHOWN = 100
"""Characters of a value that an error shows."""
_TRANSLATIONS = {
    "underscore_escaping_with_suffixes": Translation.UNDERSCORES,
    "underscore_escaping_without_suffixes": Translation.UNDERSCORES_WITHOUT_SUFFIXES,
    "no_utf8_escaping_with_suffixes": Translation.UTF8,
    "no_translation": Translation.NONE,
}
_DEVELOPMENT = "/development"
"""Ending of the properties and values that OpenTelemetry's schema counts as experimental."""
_PROPERTIES = {
    "host": str,
    "port": int,
    "scope_info_enabled": bool,
    "target_info_enabled": bool,
    "translation_strategy": str,
    "resource_constant_labels": Mapping,
}
_WORDS = {str: "a string", int: "an integer", bool: "true or false", Mapping: "an object"}
_logger = logging.getLogger(__name__)


class ReaderSettingsError(ValueError):
    """A property of the declarative configuration cannot be used; one sentence with its name, its value and what is allowed."""


class AutoReader(ReaderWithViews, PrometheusReader):
    """A ``PrometheusReader`` with an HTTP server, beside the collectors of ``prometheus_client.REGISTRY``.

    An address that cannot be used is logged as an error, and the reader is not served: the program goes on. A forked child is
    not served either. The HTTP server's metrics have no label that a client can choose.

    Args:
        host: Where to listen; by default ``OTEL_EXPORTER_PROMETHEUS_HOST``, or ``localhost``.
        port: 0 takes a free one; by default ``OTEL_EXPORTER_PROMETHEUS_PORT``, or 9464.
        **options: Further arguments of ``PrometheusReader``.

    Attributes:
        port: The port that is served; None where none is.
    """

    def __init__(self, host: str | None = None, port: int | None = None, **options: Any) -> None:
        super().__init__(**{"beside": REGISTRY, **options})
        self.own_views = views(Catalogue([]))  # of the HTTP server's metrics
        self.port: int | None = None
        given = os.environ.get(OTEL_EXPORTER_PROMETHEUS_HOST, "").strip() or _HOST if host is None else host
        wanted = _port(os.environ) if port is None else port
        try:
            self._server: MetricsServer | None = start_http_server(self, wanted, given)
            self.port = self._server.port
        except ServeError as error:
            self._server = None
            _logger.error(
                "process %d: %s (%s, %s)", os.getpid(), error, OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT
            )
        register_after_fork(self._leave_the_server_to_the_parent)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Stops the server, then as ``PrometheusReader.shutdown``."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        super().shutdown(timeout_millis, **kwargs)

    def _leave_the_server_to_the_parent(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close_inherited()
            _logger.warning("the metrics of process %d are not served: port %s is its parent's", os.getpid(), self.port)
            self.port = None


def pull_reader(**properties: Any) -> AutoReader:
    """Returns the reader of a declarative configuration. The properties are those of ``prometheus/development``.

    Args:
        **properties: ``host``, ``port``, ``scope_info_enabled``, ``target_info_enabled``, ``translation_strategy`` and
            ``resource_constant_labels`` with ``included`` and ``excluded``, lists of patterns in which ``*`` stands for any
            characters and ``?`` for one. A null is as if the property were not given.

    Raises:
        ReaderSettingsError: A property is unknown, or its value cannot be used.
    """
    found: dict[str, Any] = {}
    for name, value in properties.items():
        key = name.removesuffix(_DEVELOPMENT)
        if key not in _PROPERTIES:
            raise ReaderSettingsError(
                f"agentos: {printable(name, _SHOWN)} is not a property; allowed are {', '.join(_PROPERTIES)}."
            )
        if value is None:
            continue
        kind = _PROPERTIES[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ReaderSettingsError(f"agentos: {name} is {shown(value, _SHOWN)}; it must be {_WORDS[kind]}.")
        found[key] = value
    if not found.get("host", _HOST).strip():  # it would mean all addresses
        raise ReaderSettingsError("agentos: host is blank; it must be a host name or an address, such as localhost or 0.0.0.0.")
    port = found.get("port", _PORT)
    if not 0 <= port <= 65535:
        raise ReaderSettingsError(f"agentos: port is {shown(port, _SHOWN)}; it must be between 0 and 65535.")
    labels = found.get("resource_constant_labels")
    return AutoReader(
        found.get("host", _HOST),
        port,
        disable_target_info=not found.get("target_info_enabled", True),
        scope_info_enabled=found.get("scope_info_enabled", True),
        translation=_translation(found.get("translation_strategy", "underscore_escaping_with_suffixes")),
        resource_attribute_filter=None if labels is None else _selection(labels),
    )


def _translation(strategy: str) -> Translation:
    name = strategy.removesuffix(_DEVELOPMENT)
    if name not in _TRANSLATIONS:
        raise ReaderSettingsError(
            f"agentos: translation_strategy is {shown(strategy, _SHOWN)}; allowed are {', '.join(_TRANSLATIONS)}."
        )
    return _TRANSLATIONS[name]


def _selection(labels: Mapping[str, Any]) -> Callable[[str], bool]:
    """The filter that an ``IncludeExclude`` describes: everything that is included and not excluded."""
    for key, value in labels.items():
        if key not in ("included", "excluded"):
            raise ReaderSettingsError(
                f"agentos: resource_constant_labels.{printable(key, _SHOWN)} is not a property; allowed are included, excluded."
            )
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ReaderSettingsError(
                f"agentos: resource_constant_labels.{key} is {shown(value, _SHOWN)}; it must be a list of patterns."
            )
    included, excluded = _pattern(labels.get("included", ["*"])), _pattern(labels.get("excluded", []))
    return lambda key: included.fullmatch(key) is not None and excluded.fullmatch(key) is None


def _pattern(wildcards: Collection[str]) -> re.Pattern[str]:
    """Matches what one of the wildcards matches; of none, nothing."""
    translated = (re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in wildcards)
    return re.compile("|".join(f"(?:{each})" for each in translated) or r"(?!)", re.DOTALL)


def _port(environ: Mapping[str, str]) -> int:
    """The variable's port. One that cannot be used is logged and treated as not set, as OpenTelemetry demands of numbers.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#numeric
    """
    text = environ.get(OTEL_EXPORTER_PROMETHEUS_PORT, "").strip()
    if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= 65535:
        return int(text)
    if text:
        message = "%s is %r; it must be between 0 and 65535: port %d is served"
        _logger.warning(message, OTEL_EXPORTER_PROMETHEUS_PORT, printable(text, _SHOWN), _PORT)
    return _PORT
