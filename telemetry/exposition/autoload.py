"""The readers that OpenTelemetry's own configuration loads by name, each behind an HTTP server of its own.

``OTEL_METRICS_EXPORTER=agentos`` loads ``AutoReader``; ``agentos:`` under ``pull: exporter:`` of a declarative configuration
(``OTEL_CONFIG_FILE``) calls ``pull_reader`` with the properties of OpenTelemetry's Prometheus exporter.
https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/prometheus/
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Collection, Mapping
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT
from prometheus_client import REGISTRY

from telemetry._base.fork import register_after_fork
from telemetry._sdk.views import ReaderWithViews
from telemetry.exposition.reader import PrometheusReader
from telemetry.exposition.source import ScrapeRefusedError
from telemetry.instruments.views import views
from telemetry.metric.definition import Catalogue
from telemetry.metric.naming import Translation

__all__ = ["AutoReader", "ReaderSettingsError", "pull_reader"]

_HOST = "localhost"
_PORT = 9464
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
            self._server: _Server | None = _start_http_server(self, wanted, given)
            self.port = self._server.server_port
        except OSError as error:
            self._server = None
            _logger.error(
                "the metrics of process %d are not served: %s:%d (%s, %s) cannot be listened on: %s",
                *(os.getpid(), given, wanted, OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT),
                error.strerror or error,
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
            server.socket.close()
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
            raise ReaderSettingsError(f"agentos: {name} is not a property; allowed are {', '.join(_PROPERTIES)}.")
        if value is None:
            continue
        kind = _PROPERTIES[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ReaderSettingsError(f"agentos: {name} is {value!r}; it must be {_WORDS[kind]}.")
        found[key] = value
    port = found.get("port", _PORT)
    if not 0 <= port <= 65535:
        raise ReaderSettingsError(f"agentos: port is {port}; it must be between 0 and 65535.")
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
        raise ReaderSettingsError(f"agentos: translation_strategy is {strategy!r}; allowed are {', '.join(_TRANSLATIONS)}.")
    return _TRANSLATIONS[name]


def _selection(labels: Mapping[str, Any]) -> Callable[[str], bool]:
    """The filter that an ``IncludeExclude`` describes: everything that is included and not excluded."""
    for key, value in labels.items():
        if key not in ("included", "excluded"):
            raise ReaderSettingsError(
                f"agentos: resource_constant_labels.{key} is not a property; allowed are included, excluded."
            )
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ReaderSettingsError(f"agentos: resource_constant_labels.{key} is {value!r}; it must be a list of patterns.")
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
        _logger.warning(message, OTEL_EXPORTER_PROMETHEUS_PORT, text, _PORT)
    return _PORT


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without the reverse look-up of the host's name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Logs nothing."""


def _start_http_server(reader: PrometheusReader, port: int, addr: str) -> _Server:
    """Serves the reader in a daemon thread. Raises ``OSError``."""
    family, *_, address = socket.getaddrinfo(addr, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    server: _Server = type("_ServerOfFamily", (_Server,), {"address_family": family})(address[:2], _Handler)
    server.set_app(_app(reader))
    Thread(target=server.serve_forever, name="metrics-server", daemon=True).start()
    return server


def _app(reader: PrometheusReader) -> Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        names = parse_qs(environ.get("QUERY_STRING", "")).get("name[]", ())
        try:
            exposition = reader.expose(environ.get("HTTP_ACCEPT"), names)
        except ScrapeRefusedError as error:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{error}\n".encode()]
        start_response("200 OK", [("Content-Type", exposition.content_type)])
        return [exposition.body]

    return app
