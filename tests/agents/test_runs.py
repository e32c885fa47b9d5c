"""Runs over real sockets: answers and counts."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.helpers.asgi_server import TIMEOUT, closed_port
from tests.helpers.scripted_agent import ScriptedAgent, artifact, replying, stalling, status, task

ANSWER = (task("TASK_STATE_SUBMITTED"), artifact("good "), artifact("morning"), status("TASK_STATE_COMPLETED"))


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    frames = [dict(line.split(": ", 1) for line in frame.split("\n")) for frame in text.strip().split("\n\n")]
    return [(frame["event"], json.loads(frame["data"])) for frame in frames]


def test_success_is_answered_and_counted_once(start, agent):
    """A run that succeeds answers with output, task and trace, and counts one success with its size."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    answer = service.run()
    span = service.spans.wait("a2a.request")[0]
    assert answer.status_code == 200
    assert answer.json() == {
        "agent": "peer",
        "operation": "query",
        "status": "success",
        "output": "good morning",
        "task_id": "t-1",
        "trace_id": f"{span.context.trace_id:032x}",
    }
    assert service.counted("a2a_requests_total") == {"peer/query/success": 1}
    assert service.counted("a2a_request_duration_seconds_count") == {"peer/query/success": 1}
    assert service.counted("a2a_errors_total") == {}
    assert service.value("a2a_active_tasks", agent="peer") == 0


def test_stream_sends_each_piece_and_counts_once(start, agent):
    """With Accept: text/event-stream each piece is an event of its own, and the run is one success."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    answer = service.client.post("/agents/peer/runs", json={"input": "hi"}, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = events_of(answer.text)
    assert [name for name, _ in events] == ["started", "output", "output", "done"]
    assert [data["text"] for name, data in events if name == "output"] == ["good ", "morning"]
    assert events[-1][1]["output"] == "good morning"
    assert service.counted("a2a_requests_total") == {"peer/query/success": 1}


REVISED = (
    task("TASK_STATE_SUBMITTED"),
    artifact("draft", append=False),
    artifact("better draft", append=False),
    artifact(" and more"),
    task("TASK_STATE_COMPLETED", "final"),
)


def test_stream_tells_once_that_sent_text_has_changed(start, agent):
    """When an agent replaces text that was sent, one event says so, no more pieces come, and the last event has the output."""
    service = start(agents={"peer": agent(replying(*REVISED)).url})
    answer = service.client.post("/agents/peer/runs", json={"input": "hi"}, headers={"Accept": "text/event-stream"})
    events = events_of(answer.text)
    assert [name for name, _ in events] == ["started", "output", "replaced", "done"]
    assert (events[1][1], events[2][1], events[3][1]["output"]) == ({"text": "draft"}, {}, "final")


def test_answer_is_what_replaced_the_draft(start, agent):
    """The JSON answer has the final text alone."""
    service = start(agents={"peer": agent(replying(*REVISED)).url})
    assert service.run().json()["output"] == "final"


def test_agent_without_streaming_is_asked_for_one_answer(start, agent):
    """An agent whose card has no streaming gets SendMessage, and its task's artifacts are the output."""

    async def reply(call: dict[str, Any]) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": task("TASK_STATE_COMPLETED", "all at once")})

    peer = agent(reply)
    peer.streaming = False
    service = start(agents={"peer": peer.url})
    assert service.run().json()["output"] == "all at once"
    assert [call["method"] for call in peer.calls] == ["SendMessage"]


@pytest.mark.parametrize(
    ("then", "code"),
    [
        pytest.param(ANSWER[1:], 200, id="success"),
        pytest.param((status("TASK_STATE_FAILED"),), 502, id="agent"),
        pytest.param((), 502, id="protocol"),
        pytest.param(None, 504, id="timeout"),
    ],
)
def test_active_tasks_is_one_during_the_call_and_zero_after_it(start, agent, then, code):
    """While an agent works its active tasks are 1, and 0 again however the run ends."""
    release = threading.Event()
    peer = agent(stalling(release, ANSWER[0], then=then or ()))
    service = start(agents={"peer": peer.url}, agent_timeout=2 if then is None else TIMEOUT)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(service.run)
        assert peer.arrived.wait(TIMEOUT)
        assert service.value("a2a_active_tasks", agent="peer") == 1
        if then is not None:
            release.set()
        assert answer.result().status_code == code
    release.set()
    assert service.value("a2a_active_tasks", agent="peer") == 0


def test_operation_that_is_no_skill_is_refused(start, agent):
    """An operation that the card does not name is a 400, and nothing is sent or counted."""
    peer = agent(replying(*ANSWER))
    service = start(agents={"peer": peer.url})
    answer = service.run(operation="nonsense")
    assert (answer.status_code, answer.json()["error"]) == (400, "unknown_operation")
    assert peer.calls == []
    assert service.counted("a2a_requests_total") == {}


def test_unknown_agent_is_not_found(start, agent):
    """An agent that the settings do not name is a 404 and no label value."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    answer = service.run("nobody")
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_agent")
    assert "nobody" not in service.client.get("/metrics").text


def test_slow_agent_is_a_timeout(start, agent):
    """An agent that does not answer in time is a 504, counted as timeout, and its task is cancelled."""
    release = threading.Event()
    peer = agent(stalling(release, ANSWER[0]))
    service = start(agents={"peer": peer.url}, agent_timeout=0.2)
    answer = service.run()
    assert (answer.status_code, answer.json()["error"]) == (504, "timeout")
    assert peer.cancelled.wait(20)
    release.set()
    assert service.counted("a2a_requests_total") == {"peer/query/error": 1}
    assert service.counted("a2a_errors_total") == {"peer/timeout/query": 1}
    assert service.value("a2a_active_tasks", agent="peer") == 0


def test_agent_that_goes_away_is_unreachable(start, agent):
    """An agent that refuses connections after its card was read is a 502, counted under the operation of the card."""
    peer = ScriptedAgent(replying(*ANSWER))
    with peer.running():
        service = start(agents={"peer": peer.url})
    answer = service.run()
    assert (answer.status_code, answer.json()["error"]) == (502, "unreachable")
    assert service.counted("a2a_errors_total") == {"peer/unreachable/query": 1}
    assert service.counted("a2a_requests_total") == {"peer/query/error": 1}
    assert service.value("a2a_active_tasks", agent="peer") == 0


def test_agent_that_never_was_there_is_counted_as_unknown_operation(start):
    """A failed call of an agent without a card counts under the operation ``unknown``, never under the caller's text."""
    service = start(agents={"peer": f"http://127.0.0.1:{closed_port()}"})
    answer = service.run(operation="made-up")
    assert (answer.status_code, answer.json()["error"]) == (502, "unreachable")
    assert service.counted("a2a_errors_total") == {"peer/unreachable/unknown": 1}
    assert "made-up" not in service.client.get("/metrics").text


async def _html(call: dict[str, Any]) -> Response:
    return PlainTextResponse("<html>not an agent</html>")


async def _no_event(call: dict[str, Any]) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": {}})


async def _wrong_types(call: dict[str, Any]) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": {"task": {"status": ["?"]}}})


async def _list(call: dict[str, Any]) -> Response:
    return JSONResponse([1, 2, 3])


async def _bytes(call: dict[str, Any]) -> Response:
    return Response(b"\xff\xfe\x00", media_type="text/event-stream")


async def _not_found(call: dict[str, Any]) -> Response:
    return Response(status_code=404)


@pytest.mark.parametrize("reply", [_html, _no_event, _wrong_types, _list, _bytes, _not_found, replying(ANSWER[0])])
def test_garbage_is_a_protocol_error(start, agent, reply):
    """An answer that is no A2A answer, such as an end without a final event, is a 502 and counted as protocol."""
    service = start(agents={"peer": agent(reply).url})
    answer = service.run()
    assert (answer.status_code, answer.json()["error"]) == (502, "protocol")
    assert service.counted("a2a_errors_total") == {"peer/protocol/query": 1}
    assert service.value("a2a_active_tasks", agent="peer") == 0


async def _rpc_error(call: dict[str, Any]) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32603, "message": "sorry"}})


async def _unnamed_error(call: dict[str, Any]) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -31000, "message": "sorry"}})


async def _server_error(call: dict[str, Any]) -> Response:
    return Response(status_code=503)


FAILED = replying(ANSWER[0], status("TASK_STATE_FAILED", "no model"))
REJECTED = replying(ANSWER[0], status("TASK_STATE_REJECTED"))


@pytest.mark.parametrize("reply", [_rpc_error, _unnamed_error, _server_error, FAILED, REJECTED])
def test_agent_that_says_it_failed_is_an_agent_error(start, agent, reply):
    """A failed or rejected task and an error answer are a 502, counted as agent, and no task is cancelled."""
    peer = agent(reply)
    service = start(agents={"peer": peer.url})
    answer = service.run()
    assert (answer.status_code, answer.json()["error"]) == (502, "agent")
    assert service.counted("a2a_errors_total") == {"peer/agent/query": 1}
    assert len(peer.calls) == 1


def test_stream_that_fails_midway_ends_with_an_error_event(start, agent):
    """A failure after the first event is the last event, with the reason and the output so far."""
    reply = replying(ANSWER[0], artifact("half"), status("TASK_STATE_FAILED", "no model"))
    service = start(agents={"peer": agent(reply).url})
    answer = service.client.post("/agents/peer/runs", json={"input": "hi"}, headers={"Accept": "text/event-stream"})
    name, data = events_of(answer.text)[-1]
    assert (answer.status_code, name, data["error"], data["output"]) == (200, "error", "agent", "half")
    assert data["reason"] == "the agent's task failed: no model"
