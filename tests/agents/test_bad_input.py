"""Bad input is refused with a code and a sentence, and is never a label value."""

from __future__ import annotations

import pytest

from tests.helpers.scripted_agent import replying, status, task

ANSWER = (task("TASK_STATE_SUBMITTED"), status("TASK_STATE_COMPLETED", "done"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "bad_json")),
        (b"\xff\xfe", (400, "bad_json")),
        (b'{"input": 3}', (422, "bad_shape")),
        (b'{"input": ""}', (422, "bad_shape")),
        (b'{"input": "\\ud800"}', (422, "bad_shape")),
        (b'{"input": "a", "more": 1}', (422, "bad_shape")),
        (b"[]", (422, "bad_shape")),
        (b"[" * 100_000, (400, "bad_request")),
        (b"", (422, "bad_shape")),
    ],
)
def test_bad_body_is_refused_with_a_reason(start, agent, body, expected):
    """A body that is no JSON or has the wrong shape is a 4xx with a code and a sentence."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    answer = service.client.post("/agents/peer/runs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == expected
    assert answer.json()["reason"]


@pytest.mark.parametrize("chunked", [False, True])
def test_body_over_the_limit_is_refused(start, agent, chunked):
    """A body above 1 MiB is a 413, whether its length is announced or not."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    body = b'{"input": "' + b"a" * 2**20 + b'"}'
    content = iter([body]) if chunked else body
    answer = service.client.post("/agents/peer/runs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_largest_allowed_body_passes(start, agent):
    """A body of exactly 1 MiB is served."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    body = b'{"input": "' + b"a" * (2**20 - 13) + b'"}'
    assert len(body) == 2**20
    answer = service.client.post("/agents/peer/runs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


@pytest.mark.parametrize("workspace", ["a b", "", "x" * 65, "ä", "a/b", "a\tb"])
def test_workspace_outside_its_pattern_is_refused(start, agent, workspace):
    """A workspace id outside its pattern is a 400 and becomes no label value."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    headers = [(b"X-Workspace-Id", workspace.encode()), (b"Content-Type", b"application/json")]
    answer = service.client.post("/agents/peer/runs", content=b'{"input": "a"}', headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_workspace")
    assert service.counted("rate_limit_hits_total") == {}


@pytest.mark.parametrize("http_metrics", [False, True])
def test_no_text_of_a_client_is_a_label_or_a_span_name(start, agent, http_metrics):
    """No sample, exemplar or span name has a client's path, query, host, method, agent, operation or user agent."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url}, http_metrics=http_metrics)
    written = {"Host": "evil.example:99", "User-Agent": "evil", "X-Forwarded-Proto": "evil", "Accept": "evil/evil"}
    service.client.get("/evil/path?evil=query", headers=written)
    service.client.request("EVIL", "/agents", headers=written)
    service.client.request("EVIL", "/agents/evil/runs", headers=written)
    service.client.get("/agents?evil=1", headers=written)
    service.client.post("/agents/evil/runs", json={"input": "evil", "operation": "query"}, headers=written)
    service.client.post("/agents/peer/runs", json={"input": "evil", "operation": "evil"}, headers=written)
    service.client.post("/agents/peer/runs", json={"input": "evil", "operation": "query"}, headers=written)
    service.spans.wait("POST /agents/{agent}/runs", 3)
    shown = service.client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    assert [line for line in shown.splitlines() if "evil" in line.lower()] == []
    assert [span.name for span in service.spans.ended if "evil" in span.name.lower()] == []
    assert ("http_server" in shown) is http_metrics
