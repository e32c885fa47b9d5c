"""A caller that leaves: its run is cancelled and counted once, and no task stays behind."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.helpers.asgi_server import TIMEOUT, ask
from tests.helpers.scripted_agent import artifact, replying, stalling, status, task

BEGUN = (task("TASK_STATE_SUBMITTED"), artifact("half "))


def read_until(connection: socket.socket, words: bytes) -> bytes:
    found = b""
    while words not in found:
        data = connection.recv(4096)
        assert data, found
        found += data
    return found


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_caller_who_leaves_cancels_the_run(start, agent, accept):
    """A caller that disconnects cancels the run: one error, cancelled; the agent's task is cancelled; nothing is active."""
    release = threading.Event()
    peer = agent(stalling(release, *BEGUN))
    service = start(agents={"peer": peer.url})
    connection = ask(service.url, accept)
    if accept == "text/event-stream":
        read_until(connection, b"half ")
    else:
        assert peer.arrived.wait(TIMEOUT)
    assert service.value("a2a_active_tasks", agent="peer") == 1
    connection.close()
    service.spans.wait("a2a.request")
    assert service.counted("a2a_requests_total") == {"peer/query/error": 1}
    assert service.counted("a2a_errors_total") == {"peer/cancelled/query": 1}
    assert service.value("a2a_active_tasks", agent="peer") == 0
    if accept == "text/event-stream":  # the task's id was known: the first event had come
        assert peer.cancelled.wait(TIMEOUT)
    release.set()


def test_caller_who_leaves_after_the_final_event_is_a_success(start, agent):
    """A stream that its reader closes after the final event is a success, even if the agent has not hung up yet."""
    release = threading.Event()
    peer = agent(stalling(release, BEGUN[0], status("TASK_STATE_COMPLETED", "done")))
    service = start(agents={"peer": peer.url})
    connection = ask(service.url, "text/event-stream")
    read_until(connection, b'{"text": "done"}')
    connection.close()
    service.spans.wait("a2a.request")
    release.set()
    assert service.counted("a2a_requests_total") == {"peer/query/success": 1}
    assert service.counted("a2a_errors_total") == {}
    assert not peer.cancelled.is_set()


def test_builtin_agent_stops_when_its_caller_leaves(start):
    """A caller who leaves herald in mid-stream also ends the model call behind it, which counts as one error."""
    service = start(providers={"slow": {"latency": 3 * TIMEOUT}}, agent_timeout=3 * TIMEOUT)
    connection = ask(service.url, "text/event-stream", agent="herald")
    read_until(connection, b"event: started")
    connection.close()
    service.spans.wait("ccr.request")
    assert service.counted("ccr_requests_total") == {"slow/error/question": 1}
    assert service.counted("a2a_errors_total") == {"herald/cancelled/query": 1}


def test_reader_who_does_not_read_is_disconnected(start, agent):
    """A caller that does not read its stream holds the run no longer than the timeout: cancelled, and nothing is active."""
    events = [task("TASK_STATE_SUBMITTED"), *[artifact("x" * 1_000_000) for _ in range(12)]]
    peer = agent(replying(*events, status("TASK_STATE_COMPLETED")))
    service = start(agents={"peer": peer.url}, agent_timeout=5, agent_response_limit=30_000_000)
    with ask(service.url, "text/event-stream"):
        service.spans.wait("a2a.request")
        assert service.counted("a2a_errors_total") == {"peer/cancelled/query": 1}
        assert service.value("a2a_active_tasks", agent="peer") == 0


def test_callers_who_leave_leave_no_task_behind(start, agent):
    """After 50 broken runs the service's event loop has the tasks that it had before."""
    release = threading.Event()
    peer = agent(stalling(release, *BEGUN))
    service = start(agents={"peer": peer.url}, rate_limit="off", client_rate_limit="off")

    def leave(count: int) -> None:
        before = len(service.spans.named("a2a.request"))
        connections = [ask(service.url, "text/event-stream") for _ in range(count)]
        for connection in connections:
            read_until(connection, b"half ")
        assert service.value("a2a_active_tasks", agent="peer") == count
        for connection in connections:
            connection.close()
        service.spans.wait("a2a.request", before + count)

    lasting = service.tasks_besides(set())
    leave(50)
    assert service.tasks_besides(lasting) <= lasting
    release.set()
    assert service.value("a2a_active_tasks", agent="peer") == 0
    assert service.counted("a2a_errors_total") == {"peer/cancelled/query": 50}
