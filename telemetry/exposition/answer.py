"""The answer to one scrape, the same for ASGI, WSGI and the server of ``start_http_server``.

A body of at most 64 KiB is one piece, with its length. A longer one is made while it is sent, in chunks: so a client that reads
slowly keeps no body, only a place among the scrapes that are answered at once, and that for a limited time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry

from telemetry._base.fork import register_after_fork
from telemetry._base.threads import yield_gil
from telemetry.exposition.compression import Compressor, available, compressor
from telemetry.exposition.negotiation import choose_encoding
from telemetry.exposition.reader import PrometheusReader
from telemetry.exposition.source import BrokenScrapeError, ScrapeRefusedError
from telemetry.metric import telemetry_metrics

__all__ = ["ANSWER_SECONDS", "MAX_CONCURRENT_SCRAPES", "Answer", "BrokenAnswerError", "Request", "Responder", "Scrape"]

MAX_CONCURRENT_SCRAPES = 64
"""Scrapes of one application that are answered at once, where it names no number."""
ANSWER_SECONDS = 60.0
"""Seconds in which a client must take an answer: the longest that a scraper usually waits."""

_PLAIN = "text/plain; charset=utf-8"
_CHUNK_BYTES = 1 << 16
_logger = logging.getLogger(__name__)


class BrokenAnswerError(Exception):
    """An answer that ends before its body does. The server must abort the connection, so that no client takes it for whole."""


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
    rest: Scrape | None = None
    """Where the further chunks of the body are read; it must be closed. None: ``body`` is whole."""

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
        compress: Whether gzip and zstd may be used.
        registry: A registry of ``prometheus_client`` whose collectors are shown beside the reader's metrics.
        max_concurrent_scrapes: Scrapes that are answered at once; a further one gets 503.
        answer_timeout: Seconds in which a client must take an answer.
        clock: Returns the time in seconds.

    Raises:
        ValueError: A limit is not above 0.
    """

    def __init__(
        self,
        reader: PrometheusReader,
        *,
        compress: bool = True,
        registry: CollectorRegistry | None = None,
        max_concurrent_scrapes: int = MAX_CONCURRENT_SCRAPES,
        answer_timeout: float = ANSWER_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if max_concurrent_scrapes < 1:
            raise ValueError(f"max_concurrent_scrapes must be at least 1, it is {max_concurrent_scrapes!r}")
        if not answer_timeout > 0:
            raise ValueError(f"answer_timeout must be above 0 seconds, it is {answer_timeout!r}")
        self.reader = reader
        self.beside: dict[str, Any] = {} if registry is None else {"beside": registry}
        self.answer_timeout = answer_timeout
        self.clock = clock
        self._compress = compress
        self._limit = max_concurrent_scrapes
        self._reset()
        register_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = Lock()
        self._scrapes: set[Scrape] = set()

    def refuse_method(self, method: str) -> Answer | None:
        """Returns the 405 for a method other than GET and HEAD, counted; None for these two. Does not block."""
        if method in ("GET", "HEAD"):
            return None
        self.count("method")
        return Answer.plain(405, "only GET and HEAD\n", allow="GET, HEAD")

    def admit(self, method: str) -> Scrape | Answer:
        """Gives a scrape a place; returns the answer where the method is wrong or no place is free. Does not block.

        A place is free again when the scrape is closed, and when its client has not taken the answer in time.
        """
        refused = self.refuse_method(method)
        if refused is not None:
            return refused
        with self._lock:
            for each in [each for each in self._scrapes if each.seconds_left <= 0]:
                self._scrapes.remove(each)
            if len(self._scrapes) < self._limit:
                scrape = Scrape(self)
                self._scrapes.add(scrape)
                return scrape
        self.count("busy")
        return Answer.plain(503, f"{self._limit} scrapes are being answered, and no more are at once\n", retry_after="5")

    def answer(self, request: Request) -> Answer:
        """Returns the answer to any request; never raises. Blocks while the body's first chunk is made.

        503 says why a scrape cannot be answered in time, now, or after shutdown; 500 that rendering failed, which is logged.
        """
        admitted = self.admit(request.method)
        return admitted if isinstance(admitted, Answer) else admitted.answer(request)

    def leave(self, scrape: Scrape) -> None:
        """Gives the scrape's place back. A second call does nothing."""
        with self._lock:
            self._scrapes.discard(scrape)

    def coding(self, accept_encoding: str | None) -> str | None:
        """Returns the content coding for an ``Accept-Encoding`` header; None: no compression."""
        return choose_encoding(accept_encoding, available()) if self._compress else None

    def count(self, reason: str) -> None:
        """Counts a scrape that is refused or ends early."""
        self.reader.diagnostics.count(telemetry_metrics.REFUSED_SCRAPES.name, reason)


class Scrape:
    """One scrape that a ``Responder`` has admitted: its answer, and its place until it is closed.

    One thread at a time asks it for the answer, then for each further chunk. Any thread may close it at any time: a chunk that
    is being made then is its last one.
    """

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._deadline: float | None = None
        self._making = Lock()
        self._closed = False
        self._chunks: Generator[bytes] | None = None
        self._next: bytes | None = None

    @property
    def seconds_left(self) -> float:
        """Seconds in which the client must have taken the answer; all of them before there is one."""
        timeout = self._responder.answer_timeout
        return timeout if self._deadline is None else self._deadline - self._responder.clock()

    def answer(self, request: Request) -> Answer:
        """Returns the answer, which has only the body's first chunk where ``rest`` is this scrape. Never raises. Blocks."""
        with self._made():
            try:
                return self._begin(request)
            except Exception as error:
                self.close()
                return self._failure(error)

    def read(self) -> tuple[bytes, bool]:
        """Returns the next chunk, and whether there are further ones. Blocks.

        Raises:
            BrokenAnswerError: There is no next chunk, though the body is not at its end: rendering failed, or the scrape was
                closed, or its client has not taken the answer in time. It is counted.
        """
        with self._made():
            if self._closed or self._chunks is None or self._next is None:
                raise BrokenAnswerError("the scrape is closed")
            if self.seconds_left <= 0:
                self.give_up()
                raise BrokenAnswerError("the client did not take the answer in time")
            try:
                chunk, self._next = self._next, next(self._chunks, None)
            except Exception as error:
                self.close()
                self._failure(error)
                raise BrokenAnswerError(f"the scrape ended early: {error}") from error
            if self._next is None:
                self.close()
            return chunk, self._next is not None

    def give_up(self) -> None:
        """Closes the scrape, and counts that its client has not taken the answer in time."""
        if not self._closed:
            self._responder.count("timeout")
            _logger.warning("a scrape ended early: its client did not take it within %g s", self._responder.answer_timeout)
        self.close()

    def close(self) -> None:
        """Ends the scrape and gives its place back. A second call does nothing."""
        self._closed = True
        if self._making.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._making.release()

    @contextmanager
    def _made(self) -> Iterator[None]:
        """Ends the scrape afterwards where it was closed meanwhile."""
        self._making.acquire()
        try:
            yield
        finally:
            self._making.release()
            if self._closed:
                self.close()

    def _end(self) -> None:
        chunks, self._chunks, self._next = self._chunks, None, None
        if chunks is not None:
            chunks.close()
        self._responder.leave(self)

    def _begin(self, request: Request) -> Answer:
        coding = self._responder.coding(request.accept_encoding)
        try:
            content_type, first = self._first(request, coding)
        except BrokenScrapeError:  # nothing is sent yet
            content_type, first = self._first(request, coding)
        headers = {"content-type": content_type, "vary": "Accept, Accept-Encoding", "cache-control": "no-store"}
        if coding is not None:
            headers["content-encoding"] = coding
        if self._next is None:
            self.close()
            return Answer(200, {**headers, "content-length": str(len(first))}, first)
        self._deadline = self._responder.clock() + self._responder.answer_timeout
        return Answer(200, headers, first, self)

    def _first(self, request: Request, coding: str | None) -> tuple[str, bytes]:
        names = parse_qs(request.query).get("name[]", ())
        scrape = self._responder.reader.pieces(request.accept, names, **self._responder.beside)
        self._chunks = _chunks(scrape.body, None if coding is None else compressor(coding))
        first = next(self._chunks, b"")
        self._next = next(self._chunks, None)
        return scrape.content_type, first

    def _failure(self, error: Exception) -> Answer:
        """Counts and logs the error; returns its answer."""
        if isinstance(error, ScrapeRefusedError):
            self._responder.count(error.reason)
            return Answer.plain(503, f"{error}\n", retry_after="5")
        self._responder.count("failed")
        if isinstance(error, BrokenScrapeError):
            _logger.warning("a scrape ended early: %s", error)
        else:
            _logger.error("a scrape failed", exc_info=error)
        return Answer.plain(500, "the scrape failed; see the log\n")


def _chunks(pieces: Generator[bytes], compress: Compressor | None) -> Generator[bytes]:
    """Yields the body, compressed, in chunks of at least 64 KiB but for the last one."""
    parts: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            part = piece if compress is None else compress.compress(piece)
            parts.append(part)
            size += len(part)
            if size >= _CHUNK_BYTES:
                yield b"".join(parts)
                parts.clear()
                size = 0
            yield_gil()
        if compress is not None:
            parts.append(compress.flush())
        if last := b"".join(parts):
            yield last
    finally:
        pieces.close()
