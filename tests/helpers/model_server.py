"""A scripted HTTP server that speaks the OpenAI chat-completions protocol, and a router that calls it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agents.services.ccr_router import ModelRequest, Router
from agents.services.providers.openai import OpenAIProvider
from agents.settings import Settings
from agents.settings.prices import Prices
from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue_genai import LATEST
from telemetry.agentos.catalogue_models import MODELS
from telemetry.metric import Catalogue
from tests.helpers.asgi_server import TIMEOUT, serving
from tests.helpers.clock import Clock

ASKED = ModelRequest("question", "how are you?")
HEAD: dict[str, Any] = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-2026"}
DONE = b"data: [DONE]\n\n"
PRICES = Prices({"m": {"input": Decimal(2), "cached": Decimal(1), "output": Decimal(8), "reasoning": Decimal(8)}}, 1_000_000)


def says(text: str, **more: Any) -> dict[str, Any]:
    """A chunk with text."""
    return {**HEAD, "choices": [{"index": 0, "delta": {"content": text}}], **more}


def used(read: int, written: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """A usage chunk."""
    return {**HEAD, "choices": [], **usage(read, written, cached, reasoning)}


def usage(read: int, written: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """The usage, as a field that any chunk may carry."""
    tokens = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    details = {"prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": reasoning}}
    return {"usage": {**tokens, **details}}


def whole(text: str, **more: Any) -> JSONResponse:
    """An answer that is not streamed."""
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return JSONResponse({**HEAD, "object": "chat.completion", "choices": choices, **more})


def refusal(status: int, **headers: str) -> JSONResponse:
    """An error answer."""
    return JSONResponse({"error": {"message": "no"}}, status, {name.replace("_", "-"): text for name, text in headers.items()})


class Gate:
    """Blocks a stream until the test sets ``opened``; the test can wait until the stream has reached the gate."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    async def passing(self) -> None:
        self.reached.set()
        assert await asyncio.to_thread(self.opened.wait, TIMEOUT)

    async def wait_until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, TIMEOUT)


CUT = object()
"""In a stream: the server breaks the connection here."""

Stream = Sequence[dict[str, Any] | bytes | Gate | object]


class ModelServer:
    """Answers each ``POST /v1/chat/completions`` with the next scripted reply, and further ones with the last.

    Streams have these ``headers``.
    """

    def __init__(self, *replies: Response | Stream, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.replies = list(replies)
        self.headers = headers
        self.asked: list[dict[str, Any]] = []

    async def answer(self, request: Request) -> Response:
        self.asked.append(await request.json())
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        if isinstance(reply, Response):
            return reply
        headers = {"Content-Length": "99999"} if CUT in reply else {}
        response = StreamingResponse(self.body(reply), media_type="text/event-stream", headers=headers)
        for name, text in self.headers:
            response.headers.append(name, text)
        return response

    async def body(self, reply: Stream) -> AsyncIterator[bytes]:
        for piece in reply:
            if isinstance(piece, Gate):
                await piece.passing()
            elif piece is not CUT:
                yield piece if isinstance(piece, bytes) else b"data: " + json.dumps(piece).encode() + b"\n\n"

    @contextmanager
    def running(self) -> Iterator[str]:
        app = Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])
        with serving(app, lifespan="off") as url:
            try:
                yield f"{url}/v1"
            finally:
                for gate in (piece for reply in self.replies if isinstance(reply, Sequence) for piece in reply):
                    if isinstance(gate, Gate):
                        gate.opened.set()


class Bench:
    """A router over scripted servers, with its clock, metrics and spans."""

    def __init__(self, urls: dict[str, str], options: dict[str, Any], catalogue: Catalogue) -> None:
        self.clock: Any = options.pop("clock", None) or Clock()
        self.waits: list[float] = []
        self.spans = InMemorySpanExporter()
        processors = [SimpleSpanProcessor(self.spans)]
        self.telemetry = AgentOSTelemetry(catalogue, strict=True, span_processors=processors, clock=self.clock)
        each = options.pop("each", {})
        given = {name: {"kind": "openai", "base_url": url, "model": "m"} for name, url in urls.items()}
        remote: Any = {name: {**one, **each.get(name, {})} for name, one in given.items()}
        settings = Settings(providers=remote, prices=PRICES, **options)
        providers = {name: OpenAIProvider(one) for name, one in settings.providers.items()}
        self.router = Router(
            providers,
            {},
            self.telemetry.recorder,
            settings.trace_content,
            settings,
            clock=self.clock,
            sleep=self.sleep,
            chance=lambda: 1.0,
        )

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.now += seconds

    async def read_into(self, queue: asyncio.Queue[str]) -> None:
        """Puts each piece of an answer into the queue."""
        async with aclosing(self.router.stream(ASKED)) as pieces:
            async for piece in pieces:
                queue.put_nowait(piece)

    async def text(self) -> str:
        async with aclosing(self.router.stream(ASKED)) as pieces:
            return "".join([piece async for piece in pieces])

    def recorded(self, *prefixes: str) -> dict[str, float]:
        """Returns the samples above 0 of these families, without buckets, by name/label values."""
        families = text_string_to_metric_families(self.telemetry.reader.expose().body.decode())
        samples = [s for family in families for s in family.samples if s.value and s.name.startswith(prefixes or "ccr_")]
        return {
            "/".join([s.name, *(value for _, value in sorted(s.labels.items()))]): s.value
            for s in samples
            if not s.name.endswith("_bucket")
        }

    def attempts(self) -> list[ReadableSpan]:
        """Returns the spans of the attempts; asserts that all are children of the route's span."""
        ended = self.spans.get_finished_spans()
        (route,) = [span for span in ended if span.name == "ccr.route"]
        attempts = [span for span in ended if span.name == "ccr.request"]
        assert {span.parent.span_id for span in attempts if span.parent} <= {route.context.span_id}
        assert all(span.context.trace_id == route.context.trace_id for span in attempts)
        assert route.attributes is not None
        assert route.attributes["ccr.attempts"] == len(attempts)
        return attempts


EVERYTHING = Catalogue([*MODELS, *LATEST.rows])


@asynccontextmanager
async def bench(catalogue: Catalogue = EVERYTHING, **servers_and_options: Any) -> AsyncIterator[Bench]:
    """Yields a router that calls these servers in order.

    Other keywords are settings; ``each`` has those of the providers, by name. ``clock`` takes the place of a `Clock`.
    """
    servers = {name: one for name, one in servers_and_options.items() if isinstance(one, ModelServer)}
    options = {name: one for name, one in servers_and_options.items() if name not in servers}
    with ExitStack() as stack:
        one = Bench({name: stack.enter_context(server.running()) for name, server in servers.items()}, options, catalogue)
        try:
            yield one
        finally:
            await one.router.close()
            one.telemetry.shutdown()
