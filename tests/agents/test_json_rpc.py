"""JSON of agents, parsed in bounded time and off the event loop."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from typing import Any

import pytest
from a2a.types.a2a_pb2 import StreamResponse, Task
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]

from agents.gateway.failure import RunFailure
from agents.gateway.json_rpc import JsonReader, result_of
from agents.outgoing.json_values import count_values

LARGE = json.dumps({"text": "x" * 10_000})


async def test_large_documents_leave_the_loop_free():
    """While a large document is parsed the loop runs on."""
    go_on = threading.Event()

    def into(_: Any) -> bool:
        return go_on.wait(20)

    reading = asyncio.create_task(JsonReader().read(LARGE, into))
    await asyncio.sleep(0)
    go_on.set()
    assert await reading


async def test_large_documents_are_parsed_in_turn():
    """One agent's large documents take one thread at a time."""
    reader, begun, release = JsonReader(), threading.Event(), threading.Event()
    running: list[int] = []

    def into(_: Any) -> int:
        running.append(1)
        begun.set()
        release.wait(20)
        return len(running)

    first, second = (asyncio.create_task(reader.read(LARGE.encode(), into)) for _ in range(2))
    await asyncio.to_thread(begun.wait, 20)
    assert not second.done()
    release.set()
    assert (await first, await second) == (1, 2)


async def test_small_documents_are_parsed_at_once():
    """A small document is parsed without a thread, whose start costs more than the parsing."""
    assert await JsonReader().read('{"a": 1}', lambda _: threading.get_ident()) == threading.get_ident()


@pytest.mark.parametrize("error", [ValueError, TypeError, RecursionError, KeyError, MemoryError])
@pytest.mark.parametrize("text", ["{}", LARGE])
async def test_what_cannot_be_used_is_a_protocol_error(error, text):
    """Whatever goes wrong with a document is one failure."""

    def into(_: Any) -> None:
        raise error

    with pytest.raises(RunFailure) as failure:
        await JsonReader().read(text, into)
    assert failure.value.error_type == "protocol"


def document(dice: random.Random, depth: int = 4) -> Any:
    """A random JSON value, with strings that look like JSON."""
    kind = dice.randrange(6 if depth else 3)
    if kind < 2:
        return dice.choice([0, -1.5, None, True, 10**20])
    if kind == 2:
        return "".join(dice.choice('",[]{}\\:\n a') for _ in range(dice.randrange(10)))
    children = [document(dice, depth - 1) for _ in range(dice.randrange(5))]
    return children if kind == 3 else {str(document(dice, 0)): child for child in children}


def values(found: Any) -> int:
    """Containers, and children after the first of each: what commas and brackets tell."""
    if not isinstance(found, dict | list):
        return 0
    children = list(found.values()) if isinstance(found, dict) else found
    return 1 + max(0, len(children) - 1) + sum(values(child) for child in children)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 65_536])
def test_values_are_counted_outside_strings(monkeypatch, step):
    """The count tells whether there are more values than the limit, whatever the strings hold and where a step ends."""
    monkeypatch.setattr("agents.outgoing.json_values._STEP", step)
    dice = random.Random(3)
    for _ in range(2000):
        found = document(dice)
        text = json.dumps(found)
        for limit in (0, 1, 5, 1000):
            assert (count_values(text, limit) > limit) == (values(found) > limit)


LONG = ["é" * 70_000, "y" * 70_000]
PARTS = [{"text": "short"}, {"text": LONG[0]}, {"data": {"text": LONG[0]}}, {"text": LONG[1]}]
PLACES = {
    "an artifact's update": {"artifactUpdate": {"artifact": {"parts": PARTS}}},
    "a message": {"message": {"parts": PARTS, "metadata": {"text": LONG[1]}}},
    "a status": {"statusUpdate": {"status": {"message": {"parts": PARTS}}}},
    "a task": {
        "task": {"artifacts": [{"parts": PARTS}], "history": [{"parts": PARTS}], "status": {"message": {"parts": PARTS}}}
    },
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_long_texts_are_what_was_sent(place):
    """A long text is the same as if Protocol Buffers had parsed it, wherever it stands."""
    expected = ParseDict(place, StreamResponse())
    assert result_of({"result": json.loads(json.dumps(place))}, StreamResponse()) == expected


def test_long_texts_of_an_asked_task_are_what_was_sent():
    """The answer to GetTask, which is a task and no event, has its long texts too."""
    assert result_of({"result": json.loads(json.dumps(PLACES["a task"]["task"]))}, Task()).history[0].parts[3].text == LONG[1]


def test_half_a_surrogate_pair_in_a_long_text_is_refused():
    """A text that no encoding can express is a protocol error, whatever its length."""
    with pytest.raises(UnicodeEncodeError):
        result_of({"result": {"message": {"parts": [{"text": LONG[0] + "\ud800"}]}}}, StreamResponse())
