"""The HTTP to the agents: its target, its limits and its counts."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from tests.helpers.scripted_agent import artifact, frame, replying, status, task

ANSWER = (task("TASK_STATE_SUBMITTED"), artifact("hello"), status("TASK_STATE_COMPLETED"))


def body_of(call: dict[str, Any]) -> bytes:
    return b"".join(frame(call, event) for event in ANSWER)


def test_size_is_the_bytes_of_the_stream(start, agent):
    """The response size is the bytes of the whole stream, in one observation."""
    sizes = []

    async def reply(call: dict[str, Any]) -> Response:
        sizes.append(len(body_of(call)))
        return Response(body_of(call), media_type="text/event-stream")

    service = start(agents={"peer": agent(reply).url})
    assert service.run().status_code == 200
    assert service.value("a2a_response_size_bytes_count", agent="peer") == 1
    assert service.value("a2a_response_size_bytes_sum", agent="peer") == sizes[0]


def test_size_is_counted_after_content_decoding(start, agent):
    """The size of a compressed answer is that of its decoded bytes."""
    sizes = []

    async def reply(call: dict[str, Any]) -> Response:
        sizes.append(len(body_of(call)))
        return Response(gzip.compress(body_of(call)), media_type="text/event-stream", headers={"Content-Encoding": "gzip"})

    service = start(agents={"peer": agent(reply).url})
    assert service.run().json()["output"] == "hello"
    assert service.value("a2a_response_size_bytes_sum", agent="peer") == sizes[0]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_each_member_of_a_compressed_answer_is_read(start, agent, encoding):
    """An answer of several gzip members, one an event, is read to its end."""

    async def reply(call: dict[str, Any]) -> Response:
        members = b"".join(gzip.compress(frame(call, event)) for event in ANSWER)
        return Response(members, media_type="text/event-stream", headers={"Content-Encoding": encoding})

    service = start(agents={"peer": agent(reply).url})
    assert service.run().json()["output"] == "hello"


def test_compressed_answer_that_is_cut_off_is_an_error(start, agent):
    """A compressed answer that ends within its last member is a protocol error, though its JSON could be complete."""

    async def reply(call: dict[str, Any]) -> Response:
        body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": task("TASK_STATE_COMPLETED", "hi")}).encode()
        return Response(gzip.compress(body)[:-1], media_type="application/json", headers={"Content-Encoding": "gzip"})

    answer = start(agents={"peer": agent(reply).url}).run()
    assert (answer.status_code, answer.json()["reason"]) == (502, "the agent sends gzip content that ends too early")


def test_no_byte_makes_no_observation(start, agent):
    """A call without a byte of body has no size, rather than one of 0."""

    async def reply(call: dict[str, Any]) -> Response:
        return Response(status_code=503)

    service = start(agents={"peer": agent(reply).url})
    assert service.run().status_code == 502
    assert service.counted("a2a_response_size_bytes_count") == {}


def test_compressed_bomb_is_cut_off(start, agent):
    """An answer that unpacks to more than the limit is cut off at the limit: 502, protocol."""

    async def reply(call: dict[str, Any]) -> Response:
        bomb = gzip.compress(b":" * 50_000_000)
        return Response(bomb, media_type="text/event-stream", headers={"Content-Encoding": "gzip"})

    service = start(agents={"peer": agent(reply).url}, agent_response_limit=100_000)
    answer = service.run()
    assert (answer.status_code, answer.json()["error"]) == (502, "protocol")
    size = service.value("a2a_response_size_bytes_sum", agent="peer")
    assert size is not None
    assert 100_000 < size <= 100_000 + 64 * 1024


def test_other_content_encodings_are_refused(start, agent):
    """An answer in another content encoding than gzip is a protocol error."""

    async def reply(call: dict[str, Any]) -> Response:
        return Response(b"?", media_type="text/event-stream", headers={"Content-Encoding": "br"})

    service = start(agents={"peer": agent(reply).url})
    assert service.run().json()["error"] == "protocol"


def test_redirect_is_not_followed(start, agent):
    """A redirect to somewhere else is a protocol error, and nothing is sent there."""
    elsewhere = agent(replying(*ANSWER))

    async def reply(call: dict[str, Any]) -> Response:
        return RedirectResponse(f"{elsewhere.url}/", status_code=307)

    service = start(agents={"peer": agent(reply).url})
    assert service.run().json()["error"] == "protocol"
    assert elsewhere.calls == []


def test_card_cannot_point_elsewhere(start, agent):
    """Of the address on a card only the path is used: the host is always that of the settings."""
    elsewhere, peer = agent(replying(*ANSWER)), agent(replying(*ANSWER))
    peer.card_url = f"{elsewhere.url}/"
    service = start(agents={"peer": peer.url})
    assert service.run().status_code == 200
    assert (len(peer.calls), elsewhere.calls) == (1, [])


def test_card_that_redirects_is_no_card(start, agent):
    """A card is not fetched from where a redirect points to."""
    elsewhere, peer = agent(replying(*ANSWER)), agent(replying(*ANSWER))
    peer.card_reply = RedirectResponse(f"{elsewhere.url}/.well-known/agent-card.json")
    service = start(agents={"peer": peer.url})
    assert service.run().json()["error"] == "protocol"
    assert service.client.get("/health/ready").status_code == 503


def test_agent_that_comes_later_is_found(start, agent):
    """The card of an agent that had none at the start is fetched when the agent is called."""
    peer = agent(replying(*ANSWER))
    peer.card_reply = JSONResponse({}, status_code=503)
    service = start(agents={"peer": peer.url})
    assert service.client.get("/agents").json() == [{"name": "peer", "known": False, "operations": {}}]
    peer.card_reply = None
    assert service.run().status_code == 200
    assert service.counted("a2a_requests_total") == {"peer/query/success": 1}


def test_connection_is_used_again(start, agent):
    """Runs one after the other use one connection to the agent."""
    peer = agent(replying(*ANSWER))
    service = start(agents={"peer": peer.url})
    for _ in range(3):
        assert service.run().status_code == 200
    assert (len(peer.ports), len(set(peer.ports))) == (3, 1)


def test_trace_context_goes_along(start, agent):
    """The agent gets the W3C traceparent of the client span below the gateway's."""
    peer = agent(replying(*ANSWER))
    service = start(agents={"peer": peer.url})
    assert service.run().status_code == 200
    client = service.spans.wait("POST")[0]
    assert client.parent.span_id == service.spans.wait("a2a.request")[0].context.span_id
    span = client.context
    version, trace_id, span_id, flags = peer.headers[0]["traceparent"].split("-")
    assert (version, trace_id, span_id) == ("00", f"{span.trace_id:032x}", f"{span.span_id:016x}")
    assert int(flags, 16) & 1 == 1


def test_message_carries_operation_and_workspace(start, agent):
    """The message's metadata names the operation and the workspace."""
    peer = agent(replying(*ANSWER))
    peer.skills = ["query", "sing"]
    service = start(agents={"peer": peer.url})
    assert service.run(workspace="w-1", operation="sing").status_code == 200
    assert peer.calls[0]["params"]["message"]["metadata"] == {"operation": "sing", "workspace_id": "w-1"}
