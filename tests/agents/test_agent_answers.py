"""What agents send over real sockets: events of every size and text, tasks that are not over, and A2A 0.3."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.helpers.scripted_agent import ScriptedAgent, artifact, replying, status, streamed, task

ODD_ENDS = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei\ufeffj"
"""Text with every character at which ``str.splitlines`` splits, but for the ends of lines of an event stream."""
TOO_MANY = "the agent sends JSON of more than 100000 values at once"


def raw_event(call: dict[str, Any], event: dict[str, Any]) -> bytes:
    """An event whose JSON holds such characters as they are, where JSON allows it."""
    text = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": event}, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def sending(*events: dict[str, Any], size: int = 2**16, before: bytes = b"", end: bytes = b"\n") -> Any:
    """Returns a reply that streams these events as raw bytes in pieces of a size."""

    async def reply(call: dict[str, Any]) -> Response:
        body = before + b"".join(raw_event(call, event) for event in events).replace(b"\n", end)

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(body), size):
                yield body[at : at + size]

        return streamed(pieces())

    return reply


@pytest.mark.parametrize("size", [1, 3, 2**16])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_where_event_streams_say(start, agent, size, end):
    """Separators of Unicode in an agent's text are text: they end no event, in whatever pieces the bytes come."""
    events = (artifact(ODD_ENDS, append=False), artifact(ODD_ENDS), status("TASK_STATE_COMPLETED"))
    service = start(agents={"peer": agent(sending(*events, size=size, end=end)).url})
    assert service.run().json()["output"] == ODD_ENDS * 2


def test_byte_order_mark_before_the_first_event(start, agent):
    """A byte order mark at the beginning of a stream is no part of its first line."""
    reply = sending(task("TASK_STATE_COMPLETED", "hi"), before="\ufeff".encode())
    assert start(agents={"peer": agent(reply).url}).run().json()["output"] == "hi"


def test_events_to_the_caller_are_one_line(start, agent):
    """Separators of Unicode are escaped in the events that the caller gets, so that no reader ends a line there."""
    service = start(agents={"peer": agent(sending(task("TASK_STATE_COMPLETED", ODD_ENDS))).url})
    answer = service.client.post("/agents/peer/runs", json={"input": "hi"}, headers={"Accept": "text/event-stream"})
    events = answer.text.split("\n\n")
    assert all(len(event.splitlines()) == 2 for event in events if event)
    assert json.loads(events[1].splitlines()[1].removeprefix("data: ")) == {"text": ODD_ENDS}


def many(count: int) -> dict[str, Any]:
    event = task("TASK_STATE_COMPLETED", "hi")
    event["task"]["history"] = [{}] * count
    return event


def whole(event: dict[str, Any]) -> Any:
    async def reply(call: dict[str, Any]) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": event})

    return reply


@pytest.mark.parametrize("streaming", [True, False])
def test_values_of_an_event_are_limited(start, agent, streaming):
    """An event of more values than can be parsed in a moment is a protocol error."""
    event = many(100_000)
    peer = agent(replying(event) if streaming else whole(event))
    peer.streaming = streaming
    answer = start(agents={"peer": peer.url}).run()
    assert (answer.status_code, answer.json()["error"], answer.json()["reason"]) == (502, "protocol", TOO_MANY)


@pytest.mark.parametrize("text", ["a, b [c] {d} " * 50_000, '\\",\\[' * 50_000, "\\" * 99_999 + "," * 200_000])
def test_text_of_an_event_is_limited_by_its_size_alone(start, agent, text):
    """Punctuation in a text is no JSON value: a long text is an answer."""
    service = start(agents={"peer": agent(replying(task("TASK_STATE_COMPLETED", text))).url})
    assert service.run().json()["output"] == text


DEEP = b'{"jsonrpc":"2.0","id":1,"result":{"task":{"status":{"state":"TASK_STATE_COMPLETED"},"artifacts":' + b"[" * 90_000
HUGE = b'{"jsonrpc":"2.0","id":1,"result":{"task":{"id":' + b"9" * 1_000_000 + b"}}}"
NESTED_TEXT = json.dumps({"jsonrpc": "2.0", "id": 1, "result": json.dumps(task("TASK_STATE_COMPLETED", "hi"))}).encode()
NOT_A_NUMBER = b'{"jsonrpc":"2.0","id":1,"result":{"task":{"status":{"timestamp":NaN}}}}'
SURROGATE = rb'{"jsonrpc":"2.0","id":1,"result":{"message":{"parts":[{"text":"\ud800"}]}}}'


@pytest.mark.parametrize(
    "data",
    [DEEP, HUGE, NESTED_TEXT, NOT_A_NUMBER, SURROGATE, b"[]", b'"text"', b"null", b'{"result":[]}', b'{"error":1}', b"\xff"],
)
@pytest.mark.parametrize("media_type", ["text/event-stream", "application/json"])
def test_odd_documents_are_protocol_errors(start, agent, data, media_type):
    """Whatever an agent sends in place of an event is a protocol error, and none of the service."""

    async def reply(call: dict[str, Any]) -> Response:
        return Response(b"data: " + data + b"\n\n" if "event" in media_type else data, media_type=media_type)

    answer = start(agents={"peer": agent(reply).url}).run()
    assert (answer.status_code, answer.json()["error"]) == (502, "protocol")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("task_id", ["x" * 257, "a\nb", "\x1b[31m"])
def test_id_of_a_task_is_short_and_printable(start, agent, task_id, streaming):
    """The caller gets the id of the agent's task, so that one which is long or no line is a protocol error."""
    event = task("TASK_STATE_COMPLETED", "hi")
    event["task"]["id"] = task_id
    peer = agent(replying(event) if streaming else whole(event))
    peer.streaming = streaming
    answer = start(agents={"peer": peer.url}).run()
    reason = "the agent's task has an id that is no printable text of 256 characters"
    assert (answer.status_code, answer.json()["reason"], answer.json().get("task_id")) == (502, reason, None)


def polled(*states: dict[str, Any]) -> Any:
    """A reply that answers each call with the next of these results, SendMessage as such, GetTask with its task alone."""
    left = list(states)

    async def reply(call: dict[str, Any]) -> Response:
        event = left.pop(0)
        return JSONResponse(
            {"jsonrpc": "2.0", "id": call["id"], "result": event if call["method"] == "SendMessage" else event["task"]}
        )

    return reply


def test_task_that_is_not_over_is_polled(start, agent):
    """Of an agent that does not stream, a task at work is asked for until it is over."""
    peer = agent(polled(task("TASK_STATE_SUBMITTED"), task("TASK_STATE_WORKING", "ha"), task("TASK_STATE_COMPLETED", "half")))
    peer.streaming = False
    service = start(agents={"peer": peer.url})
    assert service.run().json()["output"] == "half"
    assert [call["method"] for call in peer.calls] == ["SendMessage", "GetTask", "GetTask"]
    assert {call["params"]["id"] for call in peer.calls[1:]} == {"t-1"}
    assert service.counted("a2a_requests_total") == {"peer/query/success": 1}


def test_task_that_fails_while_it_is_polled(start, agent):
    """A task that fails after the answer is a failure of the agent."""
    peer = agent(polled(task("TASK_STATE_WORKING"), task("TASK_STATE_FAILED")))
    peer.streaming = False
    answer = start(agents={"peer": peer.url}).run()
    assert (answer.status_code, answer.json()["error"]) == (502, "agent")


def test_task_that_never_ends_is_a_timeout(start, agent):
    """A task that is still at work at the deadline is a timeout, and is cancelled."""
    peer = agent(polled(*[task("TASK_STATE_WORKING")] * 100))
    peer.streaming = False
    answer = start(agents={"peer": peer.url}, agent_timeout=0.5).run()
    assert (answer.status_code, answer.json()["error"]) == (504, "timeout")
    assert peer.cancelled.wait(20)


def test_task_without_id_cannot_be_polled(start, agent):
    """A task at work that has no id is a protocol error: nothing more can be asked."""
    peer = agent(polled(task("TASK_STATE_WORKING", task_id="")))
    peer.streaming = False
    answer = start(agents={"peer": peer.url}).run()
    assert (answer.status_code, answer.json()["error"]) == (502, "protocol")


@pytest.mark.parametrize("state", ["TASK_STATE_INPUT_REQUIRED", "TASK_STATE_AUTH_REQUIRED"])
@pytest.mark.parametrize("streaming", [True, False])
def test_question_of_an_agent_is_its_answer(start, agent, state, streaming):
    """A task that waits for its caller is a success; what the agent asks is the output."""
    event = task(state)
    event["task"]["status"]["message"] = {"messageId": "m", "parts": [{"text": "which one?"}]}
    peer = agent(replying(event) if streaming else whole(event))
    peer.streaming = streaming
    service = start(agents={"peer": peer.url})
    assert (service.run().json()["output"], service.counted("a2a_errors_total")) == ("which one?", {})


def legacy(agent: Any, *parts: dict[str, Any], streaming: bool = True) -> ScriptedAgent:
    """An agent of A2A 0.3 that answers with one artifact of these parts."""
    answer = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "completed"}}
    answer["artifacts"] = [{"artifactId": "a", "parts": list(parts)}]
    peer: ScriptedAgent = agent(sending(answer) if streaming else whole(answer))
    peer.streaming = streaming
    peer.protocol_version = "0.3"
    return peer


@pytest.mark.parametrize("streaming", [True, False])
def test_agent_of_the_version_before_is_called(start, agent, streaming):
    """An agent of A2A 0.3 is called as that version has it, and its text is not split either."""
    peer = legacy(agent, {"kind": "text", "text": ODD_ENDS}, streaming=streaming)
    assert start(agents={"peer": peer.url}).run().json()["output"] == ODD_ENDS
    assert [call["method"] for call in peer.calls] == ["message/stream" if streaming else "message/send"]


@pytest.mark.parametrize("streaming", [True, False])
def test_values_from_an_agent_of_the_version_before_are_limited(start, agent, streaming):
    """What is parsed on the event loop has a lower limit of values."""
    peer = legacy(agent, *[{"kind": "text", "text": "a"}] * 10_000, streaming=streaming)
    answer = start(agents={"peer": peer.url}).run()
    assert (answer.status_code, answer.json()["error"]) == (502, "protocol")
    assert answer.json()["reason"] == "the agent sends JSON of more than 10000 values at once"


def test_card_is_limited(start, agent):
    """Of a card's skills as many are used as can have series; ids that no request can name are not used."""
    peer = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    peer.skills = ["", "x" * 65, "a\nb", "a\u2028b", "query", *map(str, range(1500))]
    service = start(agents={"peer": peer.url})
    (found,) = service.client.get("/agents").json()
    assert list(found["operations"]) == ["query", *map(str, range(999))]
    assert service.run().status_code == 200


def test_card_of_too_many_values_is_no_card(start, agent):
    """A card that takes long to parse is not read."""
    peer = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    peer.card_reply = JSONResponse({**peer.card(), "skills": [{}] * 100_000})
    service = start(agents={"peer": peer.url})
    assert service.run().json()["reason"] == TOO_MANY


@pytest.mark.parametrize("path", ["x" * 2000, "\x00", "[", "http://[::1"])
def test_address_on_a_card_that_cannot_be_used(start, agent, path):
    """A card whose address is too long, or none, is a protocol error."""
    peer = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    peer.card_url = path if path.startswith("http") else f"{peer.url}/{path}"
    answer = start(agents={"peer": peer.url}).run()
    assert (answer.status_code, answer.json()["error"]) == (502, "protocol")


def test_description_on_a_card_is_one_printable_line(start, agent):
    """Descriptions of skills are bounded, printable and in one line."""
    peer = agent(replying())
    card = peer.card()
    card["skills"][0]["description"] = "does\r\n\x1b[31m " + "x" * 1000
    peer.card_reply = JSONResponse({**card, "supportedInterfaces": [{"url": f"{peer.url}/", "protocolBinding": "JSONRPC"}]})
    service = start(agents={"peer": peer.url})
    (found,) = service.client.get("/agents").json()
    assert found["operations"]["query"] == f"does \ufffd[31m {'x' * 488}…"


@pytest.mark.parametrize("skill", ["say hi", "\u00fcben", "a/b", "{}", "x" * 64])
def test_skill_with_an_odd_id_is_called(start, agent, skill):
    """A skill whose id is no value of the label is called all the same, and counted as invalid."""
    peer = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    peer.skills = ["query", skill]
    service = start(agents={"peer": peer.url})
    assert service.run(operation=skill).json()["operation"] == skill
    label = skill if skill.isalnum() and skill.isascii() else "invalid"
    assert service.counted("a2a_requests_total") == {f"peer/{label}/success": 1}
