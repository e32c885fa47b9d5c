"""The metrics of A2A calls beside the contract: task states, error codes, the first event, the request's size."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from telemetry.agentos.catalogue_models import PROTOCOL_CODES as CODES
from telemetry.agentos.catalogue_models import TASK_STATE
from tests.helpers.scripted_agent import artifact, replying, status, task
from tests.helpers.service import RunningService, StartService


def recorded(service: RunningService, name: str) -> dict[str, float]:
    return service.counted(name)


def started(start: StartService, agent: Any, reply: Any, *, streaming: bool = True) -> tuple[RunningService, Any]:
    one = agent(reply)
    one.streaming = streaming
    return start(agents={"peer": one.url}, model_metrics=True), one


def test_each_state_counts_once_a_call(start, agent):
    """Every state that the task reached is counted once a call, in A2A's own spelling, and the last is on the span."""
    working = status("TASK_STATE_WORKING")
    events = (task("TASK_STATE_SUBMITTED"), working, working, artifact("hi"), status("TASK_STATE_COMPLETED"))
    service, _ = started(start, agent, replying(*events))
    assert [service.run().status_code, service.run().status_code] == [200, 200]
    assert recorded(service, "a2a_task_state_count_total") == {
        "TASK_STATE_SUBMITTED/peer": 2,
        "TASK_STATE_WORKING/peer": 2,
        "TASK_STATE_COMPLETED/peer": 2,
    }
    span = service.spans.wait("a2a.request")[0]
    assert span.attributes is not None
    assert span.attributes["a2a.task.state"] == "TASK_STATE_COMPLETED"


def test_states_are_those_of_the_protocol():
    """The label takes every state that A2A has, and no others."""
    from a2a.types.a2a_pb2 import TaskState

    assert set(TASK_STATE.values) == set(TaskState.keys())


def test_states_start_at_zero(start, agent):
    """The states of an agent have their series before its first call, so that ``increase`` sees the first one."""
    service, _ = started(start, agent, replying(task("TASK_STATE_COMPLETED", "hi")))
    assert service.value("a2a_task_state_count_total", agent="peer", a2a_task_state="TASK_STATE_FAILED") == 0


def test_all_series_of_an_agent_start_at_zero(start, agent):
    """Errors by the protocol's codes, request sizes and first events have their series once an agent's card is known."""
    one = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    service = start(agents={"peer": one.url}, model_metrics=True)
    assert service.run("peer", operation="unheard-of").status_code == 400
    codes = {
        code: service.value("a2a_request_error_count_total", agent="peer", rpc_response_status_code=code) for code in CODES
    }
    assert codes == dict.fromkeys(CODES, 0)
    assert service.value("a2a_request_size_bytes_count", agent="peer") == 0
    assert service.value("a2a_client_response_time_to_first_event_seconds_count", agent="peer", operation="query") == 0


def test_codes_are_those_of_the_protocol():
    """The codes that start at zero are JSON-RPC's own and those that A2A names."""
    from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP

    named = {str(code) for code in JSON_RPC_ERROR_CODE_MAP.values()}
    assert named | {"-32700", "-32600", "-32601", "-32602", "-32603"} == set(CODES)


def failing(code: int) -> Any:
    async def reply(call: dict[str, Any]) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": "no"}})

    return reply


@pytest.mark.parametrize("code", [-32001, -32603, -32700, -32099, 7])
def test_error_is_counted_by_its_code(start, agent, code):
    """An error answer counts under its code, named by the protocol or not, beside the contract's error."""
    service, _ = started(start, agent, failing(code), streaming=False)
    assert service.run().status_code == 502
    assert recorded(service, "a2a_request_error_count_total") == {f"peer/{code}": 1}
    assert recorded(service, "a2a_errors_total") == {"peer/agent/query": 1}
    span = service.spans.wait("a2a.request")[0]
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == str(code)


def test_failure_without_a_code_has_none(start, agent):
    """A failed task is no JSON-RPC error: its state is counted, and no code."""
    service, _ = started(start, agent, replying(status("TASK_STATE_FAILED", "no")))
    assert service.run().status_code == 502
    assert recorded(service, "a2a_request_error_count_total") == {}
    assert recorded(service, "a2a_task_state_count_total") == {"TASK_STATE_FAILED/peer": 1}


def test_first_event_of_a_stream(start, agent):
    """A streamed answer has one time to its first event, not longer than the whole call."""
    service, _ = started(start, agent, replying(artifact("a"), artifact("b"), status("TASK_STATE_COMPLETED")))
    service.run()
    name = "a2a_client_response_time_to_first_event_seconds"
    assert recorded(service, f"{name}_count") == {"peer/query": 1}
    (first,), (whole,) = (recorded(service, one).values() for one in (f"{name}_sum", "a2a_request_duration_seconds_sum"))
    assert 0 < first <= whole


def test_answer_in_one_piece_has_no_first_event(start, agent):
    """An answer in one piece has no time to its first event."""

    async def reply(call: dict[str, Any]) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": task("TASK_STATE_COMPLETED", "hi")})

    service, _ = started(start, agent, reply, streaming=False)
    assert service.run().status_code == 200
    assert recorded(service, "a2a_client_response_time_to_first_event_seconds_count") == {}
    assert recorded(service, "a2a_task_state_count_total") == {"TASK_STATE_COMPLETED/peer": 1}


def test_request_size_is_that_of_the_body(start, agent):
    """The request's size is that of the JSON-RPC body that the agent received."""
    service, peer = started(start, agent, replying(task("TASK_STATE_COMPLETED", "hi")))
    service.run(text="x" * 1000)
    (size,) = recorded(service, "a2a_request_size_bytes_sum").values()
    assert size == int(peer.headers[0]["content-length"])
    assert len(json.dumps(peer.calls[0], separators=(",", ":"))) == size


def test_contract_alone_has_none_of_it(start, agent):
    """Without AGENTOS_MODEL_METRICS none of these series exist."""
    one = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    service = start(agents={"peer": one.url})
    service.run()
    body = service.client.get("/metrics").text
    assert not [
        name for name in ("a2a_task", "a2a_request_error", "a2a_client", "a2a_request_size", "ccr_errors") if name in body
    ]
