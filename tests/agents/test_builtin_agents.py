"""navi and herald behind their own servers: cache, model router, metrics and spans of one call."""

from __future__ import annotations

from tests.helpers.asgi_server import closed_port


def test_navi_caches_its_answers(start):
    """navi's first answer is a miss and stored; the same question again is a hit, without a model call."""
    service = start()
    first, second = service.run("navi", "what is new?"), service.run("navi", "what is new?")
    assert first.json()["output"] == second.json()["output"] != ""
    assert service.counted("cache_operations_total") == {"get/miss": 1, "get/hit": 1, "set/ok": 1}
    assert service.counted("cache_latency_seconds_count") == {"get": 2, "set": 1}
    assert service.counted("ccr_requests_total") == {"builtin/success/question": 1}


def test_navi_keeps_workspaces_apart(start):
    """An answer to one workspace is never served from the cache to another one."""
    service = start()
    service.run("navi", "our secret", workspace="a")
    service.run("navi", "our secret", workspace="b")
    assert service.counted("cache_operations_total") == {"get/miss": 2, "set/ok": 2}


def test_herald_always_asks_a_model(start):
    """herald asks the model each time and touches no cache."""
    service = start()
    for _ in range(2):
        assert service.run("herald", "good news").status_code == 200
    assert service.counted("ccr_requests_total") == {"builtin/success/question": 2}
    assert service.counted("cache_operations_total") == {}


def test_herald_streams_several_events(start):
    """herald's answer comes in several events, in the order of the model's pieces."""
    service = start()
    answer = service.client.post(
        "/agents/herald/runs", json={"input": "good news", "operation": "announce"}, headers={"Accept": "text/event-stream"}
    )
    assert answer.text.count("event: output\n") == 3


def test_tokens_are_what_was_read_and_written(start):
    """The built-in provider's tokens are those of the prompt and of the answer, word by word."""
    service = start()
    output = service.run("herald", "one two, three").json()["output"]
    assert output == "This is about question. You wrote: one two , three. That makes 4 tokens read."
    assert service.counted("ccr_tokens_total") == {"input/builtin": 4, "output/builtin": 19}


def test_outage_of_the_cache_is_an_error_and_no_miss(start):
    """While Redis does not answer navi asks the model, and each cache operation counts as error, not as miss."""
    service = start(redis_url=f"redis://127.0.0.1:{closed_port()}")
    for _ in range(2):
        assert service.run("navi", "again?").status_code == 200
    assert service.counted("cache_operations_total") == {"get/error": 2, "set/error": 2}
    assert service.counted("ccr_requests_total") == {"builtin/success/question": 2}


def test_provider_that_fails_is_followed_by_the_next(start):
    """When the first provider of a task fails the next one answers; each attempt is counted under its own name."""
    service = start(
        providers={"weak": {"failure_rate": 1, "latency": 0}, "strong": {"latency": 0}}, routes={"question": ["weak", "strong"]}
    )
    assert service.run("herald", "hello").status_code == 200
    assert service.counted("ccr_requests_total") == {"weak/error/question": 1, "strong/success/question": 1}
    assert service.counted("ccr_latency_seconds_count") == {"weak": 1, "strong": 1}


def test_no_provider_left_is_an_agent_error(start):
    """When every provider fails the agent's task fails: 502, agent, with the router's reason."""
    service = start(providers={"weak": {"failure_rate": 1, "latency": 0}})
    answer = service.run("herald", "hello")
    assert (answer.status_code, answer.json()["error"]) == (502, "agent")
    assert answer.json()["reason"] == "the agent's task failed: no provider could answer the task 'question'"
    assert service.counted("a2a_errors_total") == {"herald/agent/query": 1}


def test_one_call_is_one_trace(start):
    """Server, gateway, client, agent, router and model spans are one chain, each the child of the one before."""
    service = start()
    answer = service.run("herald", "hello", workspace="w").json()
    chain = ["POST /agents/{agent}/runs", "a2a.request", "POST", "A2A agent", "ccr.route", "ccr.request"]
    spans = [service.spans.wait(name)[0] for name in chain]
    assert {f"{span.context.trace_id:032x}" for span in spans} == {answer["trace_id"]}
    assert [span.parent.span_id if span.parent else None for span in spans] == [
        None,
        *(span.context.span_id for span in spans[:-1]),
    ]


def test_spans_carry_the_labels_of_their_metrics(start):
    """Each measured span has every label of its series, under the same key, with the same value."""
    service = start()
    service.run("navi", "hello", workspace="w")
    service.spans.wait("POST /agents/{agent}/runs")
    seen = {
        "a2a.request": "a2a_requests_total",
        "ccr.request": "ccr_requests_total",
        "POST /agents/{agent}/runs": "rate_limit_hits_total",
    }
    for name, metric in seen.items():
        (labels,) = [dict(key) for key, value in service.samples(metric).items() if value]
        assert labels.items() <= dict(service.spans.named(name)[0].attributes or {}).items()
    operations = [dict(key) for key, value in service.samples("cache_operations_total").items() if value]
    attributes = [dict(span.attributes or {}) for span in service.spans.named("cache.operation")]
    assert sorted(labels["operation"] for labels in operations) == ["get", "set"]
    for labels in operations:
        assert any(labels.items() <= found.items() for found in attributes)


def test_operators_routes_have_no_span(start):
    """/metrics and health are not traced; a path without a route gives no span its name."""
    service = start()
    for path in ("/metrics", "/health/live", "/health/ready", "/secret-path"):
        service.client.get(path)
    service.run("navi")
    service.spans.wait("POST /agents/{agent}/runs")
    assert {span.name for span in service.spans.ended if "secret" in span.name or "health" in span.name} == set()
    assert service.spans.named("GET /metrics") == []


def test_agents_are_listed_with_their_skills(start):
    """GET /agents shows each agent with the skills on its card."""
    assert [(one["name"], sorted(one["operations"])) for one in start().client.get("/agents").json()] == [
        ("navi", ["query", "summarize"]),
        ("herald", ["announce", "query"]),
    ]


def test_counters_start_at_zero_for_what_is_known(start):
    """Before the first run the counters of agents, operations, providers and task types stand at 0."""
    service = start()
    assert service.value("a2a_requests_total", agent="herald", operation="announce", status="error") == 0
    assert service.value("a2a_active_tasks", agent="navi") == 0
    assert service.value("ccr_requests_total", provider="builtin", task_type="summary", status="success") == 0
    assert service.value("ccr_tokens_total", provider="builtin", direction="input") == 0
    assert service.value("cache_operations_total", operation="get", result="miss") == 0
