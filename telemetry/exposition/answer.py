"""The answer to one scrape, the same for ASGI, WSGI and the server of ``start_http_server``."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry

from telemetry._base.threads import yield_gil
from telemetry.exposition.negotiation import accepts_gzip
from telemetry.exposition.reader import PrometheusReader
from telemetry.exposition.source import ScrapeRefusedError
from telemetry.metric import telemetry_metrics

__all__ = ["Answer", "Request", "Responder"]

_PLAIN = "text/plain; charset=utf-8"
_logger = logging.getLogger(__name__)


class Request(NamedTuple):
    """What of a request decides its answer. A header that is given several times is joined by commas."""

    method: str
    query: str = ""
    """The part of the URL behind ``?``, still encoded."""
    accept: str | None = None
    accept_encoding: str | None = None


class Answer(NamedTuple):
    """Status, headers and body; a server sends no body to ``HEAD``."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def plain(cls, status: int, text: str, **headers: str) -> Answer:
        """Returns an answer of plain text; an underscore in a header's name stands for a hyphen."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        body = text.encode()
        return cls(status, {"content-type": _PLAIN, **named, "content-length": str(len(body))}, body)


class Responder:
    """Answers scrapes of one reader.

    Args:
        reader: The reader; its ``diagnostics`` count refused scrapes.
        compress: Whether gzip may be used.
        registry: A registry of ``prometheus_client`` whose collectors are shown beside the reader's metrics.
    """

    def __init__(self, reader: PrometheusReader, *, compress: bool = True, registry: CollectorRegistry | None = None) -> None:
        self._reader = reader
        self._compress = compress
        self._beside: dict[str, Any] = {} if registry is None else {"beside": registry}

    def refuse_method(self, method: str) -> Answer | None:
        """Returns the 405 for a method other than GET and HEAD, counted; None for these two. Does not block."""
        if method in ("GET", "HEAD"):
            return None
        self._count("method")
        return Answer.plain(405, "only GET and HEAD\n", allow="GET, HEAD")

    def answer(self, request: Request) -> Answer:
        """Returns the answer to any request; never raises. Blocks while the body is rendered.

        503 says why a scrape cannot be answered in time, or after shutdown; 500 that rendering failed, which is logged.
        """
        refused = self.refuse_method(request.method)
        if refused is not None:
            return refused
        try:
            return self._render(request)
        except ScrapeRefusedError as error:
            self._count(error.reason)
            return Answer.plain(503, f"{error}\n", retry_after="5")
        except Exception:
            self._count("failed")
            _logger.exception("a scrape failed")
            return Answer.plain(500, "the scrape failed; see the log\n")

    def _render(self, request: Request) -> Answer:
        names = parse_qs(request.query).get("name[]", ())
        exposition = self._reader.expose(request.accept, names, yield_gil=yield_gil, **self._beside)
        headers = {"content-type": exposition.content_type, "vary": "Accept, Accept-Encoding", "cache-control": "no-store"}
        body = exposition.body
        if self._compress and accepts_gzip(request.accept_encoding):
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1, mtime=0)
        return Answer(200, {**headers, "content-length": str(len(body))}, body)

    def _count(self, reason: str) -> None:
        self._reader.diagnostics.count(telemetry_metrics.REFUSED_SCRAPES.name, reason)
