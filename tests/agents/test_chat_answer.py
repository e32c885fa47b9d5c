"""Answers of OpenAI-compatible servers in the shapes that they really have, over HTTP and byte by byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse, Response

from agents.services.ccr_router import ModelRequest, ProviderError, RouterError
from agents.services.providers.chat_answer import ChatAnswer
from telemetry.agentos.tokens import Tokens
from tests.helpers.model_server import CUT, DONE, HEAD, Gate, ModelServer, bench, says, usage, used, whole

BACKUP = [says("good"), DONE]


def choices(*given: Any, **more: Any) -> dict[str, Any]:
    """A chunk with these choices."""
    return {**HEAD, "choices": list(given), **more}


def delta(**fields: Any) -> dict[str, Any]:
    """A chunk whose first choice has this delta."""
    return choices({"index": 0, "delta": fields})


def ends(reason: object = "stop", **fields: Any) -> dict[str, Any]:
    """A chunk whose first choice has a finish_reason."""
    return choices({"index": 0, "delta": fields, "finish_reason": reason})


def sse(*chunks: dict[str, Any], ending: bytes = b"\n", space: bytes = b" ") -> bytes:
    """The chunks as one event stream with its end."""
    events = [json.dumps(chunk).encode() for chunk in chunks] + [b"[DONE]"]
    return b"".join(b"data:" + space + event + ending * 2 for event in events)


async def read(*pieces: bytes) -> tuple[str, Tokens | None]:
    """Reads an answer whose body comes in these pieces; returns its text and its last usage."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    found = [piece async for piece in ChatAnswer().read(body())]
    tokens = [piece for piece in found if isinstance(piece, Tokens)]
    return "".join(piece for piece in found if isinstance(piece, str)), tokens[-1] if tokens else None


FILTER = {"hate": {"filtered": False, "severity": "safe"}}
CHUNKS = {
    "azure's first chunk": {
        **HEAD,
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": FILTER}],
    },
    "azure's filter results": choices({"index": 0, "finish_reason": None, "content_filter_results": FILTER}),
    "no delta": choices({"index": 0}),
    "delta null": choices({"index": 0, "delta": None}),
    "delta of another type": choices({"index": 0, "delta": 7}),
    "choices null": {**HEAD, "choices": None},
    "choices of another type": {**HEAD, "choices": {"0": {"delta": {"content": "no"}}}},
    "choices missing": HEAD,
    "choices of null": choices(None),
    "nothing at all": {},
    "another choice": choices({"index": 1, "delta": {"content": "no"}}),
    "role alone": delta(role="assistant"),
    "content null": delta(content=None),
    "content of another type": delta(content=7),
    "parts of odd types": delta(
        content=[{"type": ["text"], "text": "no"}, {"type": 7, "text": "no"}, {"type": "text", "text": 7}]
    ),
    "content without parts": delta(content=[]),
    "parts that are no text": delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "no"}]}, None, 7]),
    "tool calls": delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}]),
    "reasoning": delta(reasoning_content="no", reasoning="no"),
    "finish_reason empty": ends(""),
    "finish_reason of another type": ends({"reason": "no"}),
    "error null": {**says(""), "error": None},
    "model of another type": {**says(""), "model": {"name": "no"}},
    "ping": {"type": "ping"},
}


@pytest.mark.parametrize("stranger", CHUNKS.values(), ids=CHUNKS.keys())
async def test_chunks_without_text_are_skipped(stranger):
    """A chunk without usable text, first, in the middle or last, takes nothing from the answer and adds nothing."""
    reply = [stranger, says("fine, "), stranger, says("thanks"), stranger, used(11, 5), stranger, DONE]
    async with bench(main=ModelServer(reply), backup=ModelServer(BACKUP)) as one:
        assert await one.text() == "fine, thanks"
        assert one.recorded("ccr_requests", "ccr_tokens") == {
            "ccr_requests_total/main/success/question": 1,
            "ccr_tokens_total/input/main": 11,
            "ccr_tokens_total/output/main": 5,
        }


TEXTS = {
    "parts": delta(content=[{"type": "text", "text": "fi"}, {"type": "image_url"}, {"text": "n"}, {"type": None, "text": "e"}]),
    "one part": delta(content={"type": "text", "text": "fine"}),
    "parts of the responses API": delta(content=[{"type": "output_text", "text": "fi"}, {"type": "refusal", "refusal": "ne"}]),
    "strings as parts": delta(content=["fi", "ne"]),
    "refusal": delta(content=None, refusal="fine"),
    "index as text": choices({"index": "0", "delta": {"content": "fine"}}),
    "older text": choices({"index": 0, "text": "fine", "finish_reason": None}),
    "message": choices({"index": 0, "message": {"role": "assistant", "content": "fine"}}),
    "message beside delta": choices({"index": 0, "delta": {"content": "fine"}, "message": {"content": "fine"}}),
    "several choices": choices({"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "fine"}}),
    "no index": choices({"delta": {"content": "fine"}}),
    "text with the end": ends(content="fine"),
}


@pytest.mark.parametrize("chunk", TEXTS.values(), ids=TEXTS.keys())
async def test_text_is_found_where_servers_put_it(chunk):
    """The text of the first choice is taken from a delta, a message or a text field, whole or in parts."""
    async with bench(main=ModelServer([chunk, DONE])) as one:
        assert await one.text() == "fine"


@pytest.mark.parametrize("chunk", TEXTS.values(), ids=TEXTS.keys())
async def test_whole_answer_has_the_same_shapes(chunk):
    """An answer in one piece may have its text in the same shapes."""
    answer = {**chunk, "choices": [{**one, "message": one.get("message") or one.get("delta")} for one in chunk["choices"]]}
    for choice in answer["choices"]:
        choice.pop("delta", None)
    async with bench(main=ModelServer(JSONResponse(answer)), each={"main": {"stream": False}}) as one:
        assert await one.text() == "fine"


async def test_message_after_deltas_is_a_repetition():
    """A message at the end of a stream of deltas repeats the text and is not added to it."""
    last = choices({"index": 0, "message": {"content": "fine, thanks"}, "finish_reason": "stop"})
    assert await read(sse(says("fine, "), says("thanks"), last)) == ("fine, thanks", None)


@pytest.mark.parametrize("streams", [True, False])
async def test_answer_comes_in_the_other_form(streams):
    """A whole answer where a stream was asked for is taken, and the other way round."""
    stream, piece = Response(sse(says("fine"), used(3, 4)), media_type="text/event-stream"), whole("fine", **usage(3, 4))
    async with bench(main=ModelServer(piece if streams else stream), each={"main": {"stream": streams}}) as one:
        assert await one.text() == "fine"
        assert one.recorded("ccr_tokens") == {"ccr_tokens_total/input/main": 3, "ccr_tokens_total/output/main": 4}


BROKEN = ["", "lots", 7, 1.5, True, [], [7], {}, None, {"prompt_tokens": "many"}, {"prompt_tokens": -1, "total_tokens": None}]
BROKEN += [{"prompt_tokens": 2**31}, {"prompt_tokens": 10**4000}, {"prompt_tokens": True}, {"prompt_tokens": 0.5}]
BROKEN += [{"prompt_tokens_details": 7, "completion_tokens_details": [7]}, {"prompt_tokens_details": {"cached_tokens": {}}}]
BROKEN += [{"prompt_tokens_details": {"multimodal_tokens": 7, "cached_tokens_details": [7], "audio_tokens": -1}}]


@pytest.mark.parametrize("broken", BROKEN, ids=[json.dumps(one)[:40] for one in BROKEN])
async def test_broken_usage_never_fails_an_answer(broken):
    """A usage that cannot be read counts no tokens, and takes nothing from one that can, before it or after it."""
    odd = {**says(""), "usage": broken}
    async with bench(main=ModelServer([odd, says("fine"), DONE], [odd, says("fine"), used(3, 4), odd, DONE])) as one:
        assert await one.text() == "fine"
        assert one.recorded("ccr_tokens") == {}
        assert await one.text() == "fine"
        assert one.recorded("ccr_tokens", "ccr_requests") == {
            "ccr_requests_total/main/success/question": 2,
            "ccr_tokens_total/input/main": 3,
            "ccr_tokens_total/output/main": 4,
        }


async def test_numbers_that_javascript_cannot_say():
    """NaN and infinities, which JSON has not but servers send, are no numbers of tokens."""
    body = b'data: {"choices": [{"delta": {"content": "fine"}}], "usage": {"prompt_tokens": NaN, "total_tokens": 1e999}}\n\n'
    assert await read(body, sse()) == ("fine", None)


NUMBERS = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
REPORTS: dict[str, tuple[list[dict[str, Any]], Tokens]] = {
    "sums so far": (
        [says("", **usage(11, 0)), says("", **usage(11, 2)), says("", **usage(11, 5))],
        Tokens(11, 5, 16, cached_tokens=0, reasoning_tokens=0),
    ),
    "zeros before the end": ([says("", **usage(0, 0)), used(11, 5)], Tokens(11, 5, 16, cached_tokens=0, reasoning_tokens=0)),
    "zeros after it": ([used(11, 5), says("", **usage(0, 0))], Tokens(11, 5, 16, cached_tokens=0, reasoning_tokens=0)),
    "the same twice": ([ends(), used(11, 5), used(11, 5)], Tokens(11, 5, 16, cached_tokens=0, reasoning_tokens=0)),
    "parts at begin and end": (
        [says("", usage={"prompt_tokens": 11}), says("", usage={"completion_tokens": 5})],
        Tokens(11, 5),
    ),
    "groq": ([says("", x_groq={"id": "r", "usage": NUMBERS})], Tokens(11, 5, 16)),
    "groq without usage": ([says("", x_groq={"id": "r"}), says("", x_groq=7)], Tokens()),
    "moonshot": (
        [choices({"index": 0, "delta": {}, "usage": {**NUMBERS, "cached_tokens": 3}})],
        Tokens(11, 5, 16, cached_tokens=3),
    ),
    "deepseek": (
        [says("", usage={**NUMBERS, "prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 8})],
        Tokens(11, 5, 16, cached_tokens=3),
    ),
    "perplexity": ([says("", usage={**NUMBERS, "reasoning_tokens": 2})], Tokens(11, 5, 16, reasoning_tokens=2)),
    "names of the responses API": (
        [says("", usage={"input_tokens": 11, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}})],
        Tokens(11, 5, reasoning_tokens=2),
    ),
    "whole floats": ([says("", usage={"prompt_tokens": 11.0, "completion_tokens": 5.0})], Tokens(11, 5)),
    "xai": (
        [
            used(10, 1),
            says("", usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115, "reasoning_tokens": 100}),
        ],
        Tokens(10, 105, 115, cached_tokens=0, reasoning_tokens=100),
    ),
}


@pytest.mark.parametrize(("chunks", "tokens"), REPORTS.values(), ids=REPORTS.keys())
async def test_usage_of_several_reports(chunks, tokens):
    """Of several reports the highest of each number counts, wherever the server puts it."""
    text, found = await read(sse(says("fine"), *chunks))
    assert text == "fine"
    assert found == (None if tokens == Tokens() else replace(tokens, model="m-2026"))


async def test_reasoning_beside_the_completion_is_output():
    """Tokens of reasoning that the server counts beside the completion are counted once, as output."""
    report = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115}
    report["completion_tokens_details"] = {"reasoning_tokens": 100}  # type: ignore[assignment]
    async with bench(main=ModelServer([says("fine"), {**HEAD, "usage": report}, DONE])) as one:
        await one.text()
        assert one.recorded("ccr_tokens", "ccr_model_tokens", "ccr_cost") == {
            "ccr_tokens_total/input/main": 10,
            "ccr_tokens_total/output/main": 105,
            "ccr_model_tokens_total/input/m/main": 10,
            "ccr_model_tokens_total/output/m/main": 5,
            "ccr_model_tokens_total/reasoning/m/main": 100,
            "ccr_cost_USD_total/m/main": 0.00086,
        }
        (span,) = one.attempts()
    assert span.attributes is not None
    assert span.attributes["gen_ai.usage.output_tokens"] == 105


@pytest.mark.parametrize("model", ["m\n" + "x" * 500, "\x1b[31mred", "\ud83d", " ", "", 7, None])
async def test_model_name_of_the_answer_is_one_short_line(model):
    """What a server says its model is becomes one printable line of at most 128 characters, or is not taken."""
    async with bench(main=ModelServer([{**says("fine"), "model": model}, {**used(3, 4), "model": model}, DONE])) as one:
        assert await one.text() == "fine"
        (span,) = one.attempts()
    assert span.attributes is not None
    found = span.attributes.get("gen_ai.response.model")
    assert found is None or (str(found).isprintable() and 0 < len(str(found)) <= 128)


STREAMS = {
    "line feeds": sse(says("fine")),
    "returns": sse(says("fine"), ending=b"\r"),
    "both": sse(says("fine"), ending=b"\r\n"),
    "no space": sse(says("fine"), space=b""),
    "byte-order mark": b"\xef\xbb\xbf" + sse(says("fine")),
    "blank lines": b"\n\n\n" + sse(says("fine")) + b"\n\n",
    "comments": b": OPENROUTER PROCESSING\n\n:\n\n" + sse(says("fine")).replace(b"\n\n", b"\n: ping\n\n: ping\n\n"),
    "other fields": b"event: message\nid: 1\nretry: 5\n" + sse(says("fine")).replace(b"data:", b"event: message\ndata:"),
    "empty data": b"data:\n\ndata: \n\n" + sse(says("fine")),
    "several data lines": sse(says("fine")).replace(b'"choices"', b'\ndata: "choices"'),
    "separators of lines in the text": sse(says("fine")).replace(b"fine", "fi\u2028\u2029\x85ne".encode()),
    "no blank line at the end": sse(says("fine")).rstrip(b"\n"),
    "text after the end": sse(says("fine")) + sse(says("no")),
    "finish_reason alone": sse(says("fine"), ends()).removesuffix(DONE),
    "no finish_reason": sse(says("fine")),
    "other words for the end": sse(says("fine"), ends("eos_token")).removesuffix(DONE),
    "cut by the limit of tokens": sse(says("fine"), ends("length")),
    "garbage after the end": sse(says("fine"), ends()).replace(DONE, b"data: {nonsense\n\n"),
    "usage cut off after the end": sse(says("fine"), ends()).replace(DONE, b'data: {"usage": {"prompt'),
}


@pytest.mark.parametrize("body", STREAMS.values(), ids=STREAMS.keys())
async def test_event_streams_as_servers_write_them(body):
    """Line ends, comments, other fields and what comes after the end make no difference to an answer."""
    async with bench(main=ModelServer(Response(body, media_type="text/event-stream"))) as one:
        assert await one.text() in ("fine", "fi\u2028\u2029\x85ne")
        assert one.recorded("ccr_requests") == {"ccr_requests_total/main/success/question": 1}


WHOLE_STREAMS = sorted(STREAMS.keys() - {"garbage after the end", "usage cut off after the end"})


@given(st.sets(st.integers(0, 400), max_size=30), st.sampled_from(WHOLE_STREAMS))
async def test_pieces_of_the_body_make_no_difference(cuts, name):
    """An event stream gives the same text wherever the network cuts it."""
    body = STREAMS[name]
    places = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    pieces = [body[begin:end] for begin, end in pairwise(places)]
    assert await read(*pieces) == await read(body)


@pytest.mark.parametrize(
    ("halves", "text"),
    [(("\ud83d", "\ude00"), "😀"), (("a\ud83d", "b"), "a\ufffdb"), (("a", "\ude00"), "a\ufffd"), (("\ud83d",), "\ufffd")],
)
async def test_halves_of_characters(halves, text):
    """A character whose halves come in two chunks is put together; a half without the other becomes U+FFFD."""
    assert await read(sse(*[says(half) for half in halves])) == (text, None)


async def test_connection_that_breaks_after_the_end():
    """A connection that breaks after the finish_reason takes nothing from the answer."""
    async with bench(main=ModelServer([says("fine"), ends(), CUT])) as one:
        assert await one.text() == "fine"
        assert one.recorded("ccr_requests") == {"ccr_requests_total/main/success/question": 1}


async def test_connection_that_stays_open_after_the_end(monkeypatch):
    """A server that neither closes the connection nor sends [DONE] after the finish_reason does not hold up its answer."""
    monkeypatch.setattr("agents.services.providers.chat_answer._REST_SECONDS", 0.1)
    async with bench(main=ModelServer([says("fine"), ends(), used(3, 4), Gate()])) as one:
        assert await one.text() == "fine"
        assert one.recorded("ccr_requests", "ccr_tokens") == {
            "ccr_requests_total/main/success/question": 1,
            "ccr_tokens_total/input/main": 3,
            "ccr_tokens_total/output/main": 4,
        }


async def test_prompt_with_half_a_character_is_sent():
    """A prompt that no encoding can express is sent with U+FFFD, and is no fault of the provider."""
    server = ModelServer(BACKUP)
    async with bench(main=server) as one:
        assert "".join([piece async for piece in one.router.stream(ModelRequest("question", "a\ud83db"))]) == "good"
    assert server.asked[0]["messages"][0]["content"] == "a\ufffdb"


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


FAILURES: dict[str, tuple[Response | list[Any], str]] = {
    "nothing": ([], "protocol"),
    "comments alone": ([b": ping\n\n"], "protocol"),
    "end alone": ([DONE], "protocol"),
    "no text": ([says(""), ends(), DONE], "protocol"),
    "tool calls alone": ([CHUNKS["tool calls"], ends("tool_calls"), DONE], "protocol"),
    "no end": ([says("")], "protocol"),
    "cut in an event": ([b'data: {"choices": ['], "protocol"),
    "list": ([event([says("no")])], "protocol"),
    "too deep": ([b"data: " + b"[" * 100_000 + b"\n\n"], "protocol"),
    "number without end": ([b'data: {"n": ' + b"9" * 5000 + b"}\n\n"], "protocol"),
    "event without end": ([b"data: " + b"x" * 2**21], "protocol"),
    "lines without end": ([b"data: x\n" * 2**18], "protocol"),
    "filter": ([ends("content_filter"), DONE], "client"),
    "filter with text": ([ends("content_filter", content="no"), DONE], "client"),
    "error as the end": ([ends("error"), DONE], "server"),
    "error": ([event({"error": {"message": "no"}})], "server"),
    "error as text": ([event({"error": "overloaded", "error_type": "overloaded"})], "server"),
    "error with status 429": ([event({"error": {"code": 429, "message": "no"}})], "rate_limit"),
    "error with status in text": ([event({"error": {"code": "504"}})], "timeout"),
    "error with status 400": ([event({"object": "error", "code": 400, "message": "no"})], "client"),
    "error with an odd code": ([event({"error": {"code": [429], "type": {}, "message": 7}})], "server"),
    "error of no form": ([event({"error": [7]})], "server"),
    "error named": ([b"event: error\n" + event({"type": "error", "error": {"type": "overloaded_error"}})], "server"),
    "error in one piece": (JSONResponse({"error": {"message": "no", "code": 503}}), "server"),
    "no choices in one piece": (JSONResponse({**HEAD, "choices": []}), "protocol"),
    "no message in one piece": (JSONResponse(choices({"index": 0, "finish_reason": "stop"})), "protocol"),
    "no text in one piece": (whole(""), "protocol"),
    "filter in one piece": (JSONResponse(choices({"message": {"content": "no"}, "finish_reason": "content_filter"})), "client"),
    "lines of JSON": (Response(b'{"message": {"content": "no"}}\n{"done": true}\n', media_type="application/json"), "protocol"),
    "page": (Response("<html>", media_type="text/html"), "protocol"),
    "no content": (Response(status_code=204), "protocol"),
}


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(("reply", "reason"), FAILURES.values(), ids=FAILURES.keys())
async def test_unusable_answer_is_a_failure(reply, reason, streams):
    """An answer that its reader could not use is a failed call with its reason, and the next provider answers."""
    servers = {"main": ModelServer(reply), "backup": ModelServer(BACKUP)}
    async with bench(**servers, each={"main": {"stream": streams}}) as one:
        assert await one.text() == "good"
        assert one.recorded("ccr_requests", "ccr_errors") == {
            "ccr_requests_total/main/error/question": 1,
            "ccr_requests_total/backup/success/question": 1,
            f"ccr_errors_total/main/{reason}": 1,
        }


@pytest.mark.parametrize(
    "ending",
    [[], [says("")], [event({"error": "no"})], [ends("content_filter")], [ends("error")]],
    ids=["cut", "no end", "error", "filter", "error as the end"],
)
async def test_answer_that_is_not_complete_fails_after_its_text(ending):
    """Without its end an answer fails also where a part of it has been sent, and no other provider continues it."""
    backup = ModelServer(BACKUP)
    async with bench(main=ModelServer([says("half an ans"), *ending]), backup=backup) as one:
        with pytest.raises(RouterError, match="provider main failed in the middle of its answer"):
            await one.text()
        assert one.recorded("ccr_requests") == {"ccr_requests_total/main/error/question": 1}
    assert backup.asked == []


WORDS = ["stop", "error", "content_filter", "text", "fine", "\ud83d", "", "429"]
KEYS = ["index", "delta", "content", "message", "usage", "text", "type", "error", "code", "prompt_tokens", "finish_reason"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["choices", "usage", "model", "error", "x_groq", "object"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
async def test_no_json_breaks_the_reading(found):
    """Any JSON of a server, streamed or in one piece, is read as text that can be encoded, or refused as ``ProviderError``."""
    for body in (event(found) + DONE, json.dumps(found).encode()):
        with suppress(ProviderError):
            text, _ = await read(body)
            assert text.encode("utf-8").decode("utf-8") == text
