"""navi and herald behind their own servers: cache, model router, metrics and spans of one call."""

from __future__ import annotations

import pytest
from opentelemetry.trace import SpanKind

from stack.servers.service import Service
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
        ("navi", ["query", "research", "summarize"]),
        ("herald", ["announce", "brief", "query"]),
    ]


def test_counters_start_at_zero_for_what_is_known(start):
    """Before the first run the counters of agents, operations, providers and task types stand at 0."""
    service = start()
    assert service.value("a2a_requests_total", agent="herald", operation="announce", status="error") == 0
    assert service.value("a2a_active_tasks", agent="navi") == 0
    assert service.value("ccr_requests_total", provider="builtin", task_type="summary", status="success") == 0
    assert service.value("ccr_tokens_total", provider="builtin", direction="input") == 0
    assert service.value("cache_operations_total", operation="get", result="miss") == 0


QUESTION = "How many a2a requests are errors, and what is 6 * 7?"


def test_navi_researches_with_a_local_tool_and_one_over_mcp(start):
    """research answers with what the calculator and the metric reference found, and with the model's text about both."""
    output = start().run("navi", QUESTION, operation="research").json()["output"]
    calculated, *found, written = output.split("\n")
    assert calculated == "[calculate] 6 * 7 = 42"
    assert found[0] == "[find_metrics] a2a_requests_total (counter by agent, operation, status): Total A2A requests"
    assert written.startswith("This is about question. You wrote: How many a2a requests")


def test_research_is_not_cached(start):
    """Tools are asked again each time: research touches no cache."""
    service = start()
    for _ in range(2):
        service.run("navi", QUESTION, operation="research")
    assert service.counted("cache_operations_total") == {}
    assert service.counted("ccr_requests_total") == {"builtin/success/question": 2}


def test_herald_has_navi_research_its_brief(start):
    """A brief is one call of herald and one of navi, each counted, with a model call of its own."""
    service = start()
    answer = service.run("herald", QUESTION, operation="brief", workspace="w").json()
    assert answer["output"].startswith("This is about writing. You wrote: How many a2a requests")
    assert service.counted("a2a_requests_total") == {"herald/brief/success": 1, "navi/research/success": 1}
    assert service.counted("a2a_active_tasks") == {}
    assert service.counted("ccr_requests_total") == {"builtin/success/question": 1, "builtin/success/writing": 1}


def test_a_brief_is_one_trace(start):
    """The call of navi is a child of herald's, down to its model call, in the trace of the caller's request."""
    service = start()
    trace_id = service.run("herald", QUESTION, operation="brief").json()["trace_id"]
    service.spans.wait("POST /agents/{agent}/runs")
    spans = {span.context.span_id: span for span in service.spans.ended if f"{span.context.trace_id:032x}" == trace_id}

    def path(span):
        name = span.attributes.get("agent") or span.attributes.get("task_type") or span.name
        return [*path(spans[span.parent.span_id]), name] if span.parent else [name]

    (researched,) = [s for s in spans.values() if s.name == "ccr.request" and s.attributes["task_type"] == "question"]
    assert path(researched) == [
        *("POST /agents/{agent}/runs", "herald", "POST", "A2A agent"),
        *("navi", "POST", "A2A agent", "question", "question"),
    ]


def test_a_brief_fails_where_navi_fails(start):
    """Where navi has no model herald says so, and both calls are errors of their agents."""
    service = start(
        providers={"weak": {"failure_rate": 1, "latency": 0}, "strong": {"latency": 0}}, routes={"question": ["weak"]}
    )
    answer = service.run("herald", "hello", operation="brief")
    assert (answer.status_code, answer.json()["reason"]) == (
        502,
        "the agent's task failed: agent navi failed: the agent's task failed: no provider could answer the task 'question'",
    )
    assert service.counted("a2a_errors_total") == {"herald/agent/brief": 1, "navi/agent/research": 1}


def test_a_brief_ends_when_navi_takes_too_long(start):
    """navi has half of the time that herald has: herald fails in time, and navi's task is cancelled."""
    service = start(providers={"slow": {"latency": 60}}, agent_timeout=1)
    answer = service.run("herald", "hello", operation="brief")
    assert (answer.status_code, answer.json()["error"]) == (502, "agent")
    assert answer.json()["reason"] == "the agent's task failed: agent navi did not answer in time"
    assert service.counted("a2a_errors_total") == {"herald/agent/brief": 1, "navi/cancelled/research": 1}


def test_invocations_and_tools_are_measured_where_it_is_asked_for(start):
    """With AGENTOS_AGENT_METRICS each agent's own calls are counted: navi's two tools and one model call, herald's one."""
    service = start(agent_metrics=True)
    service.run("herald", QUESTION, operation="brief")

    def counts(name: str, key: str) -> dict[str, float]:
        return {dict(labels)[key]: number for labels, number in service.samples(name).items() if number}

    assert counts("gen_ai_invoke_agent_duration_seconds_count", "gen_ai_agent_name") == {"herald": 1, "navi": 1}
    assert counts("gen_ai_invoke_agent_inference_calls_sum", "gen_ai_agent_name") == {"herald": 1, "navi": 1}
    assert counts("gen_ai_invoke_agent_tool_calls_sum", "gen_ai_agent_name") == {"navi": 2}
    tools = "gen_ai_execute_tool_duration_seconds_count"
    assert counts(tools, "gen_ai_tool_name") == {"calculate": 1, "find_metrics": 1}
    assert counts(tools, "gen_ai_tool_type") == {"function": 1, "extension": 1}


def test_invocations_have_no_spans_unless_it_is_asked_for(start):
    """Without AGENTOS_AGENT_METRICS there is no span of an agent or a tool."""
    service = start()
    service.run("herald", QUESTION, operation="brief")
    service.spans.wait("POST /agents/{agent}/runs")
    assert [span.name for span in service.spans.ended if span.name.startswith(("invoke_agent", "execute_tool", "tools/"))] == []


def test_invocation_and_tool_are_spans_of_the_tree(start):
    """invoke_agent is the parent of the tools' spans and of the model's route, and says which agent and conversation it is."""
    service = start(agent_metrics=True)
    service.run("navi", QUESTION, operation="research")
    service.spans.wait("POST /agents/{agent}/runs")
    (invoked,) = service.spans.named("invoke_agent navi")
    assert invoked.attributes["gen_ai.agent.description"] == "Answers questions, from memory where it can."
    assert invoked.attributes["gen_ai.conversation.id"]
    below = [span for span in service.spans.ended if span.parent and span.parent.span_id == invoked.context.span_id]
    assert sorted(span.name for span in below) == ["ccr.route", "execute_tool calculate", "execute_tool find_metrics"]


@pytest.mark.parametrize("content", [False, True])
def test_tools_texts_are_on_spans_only_where_it_is_asked_for(start, content):
    """Arguments and results are on a tool's span with AGENTOS_TRACE_CONTENT alone."""
    service = start(agent_metrics=True, trace_content=content)
    service.run("navi", QUESTION, operation="research")
    (span,) = service.spans.wait("execute_tool calculate")
    assert span.attributes.get("gen_ai.tool.call.arguments") == ("6 * 7" if content else None)
    assert span.attributes.get("gen_ai.tool.call.result") == ("6 * 7 = 42" if content else None)


def test_a_brief_is_paid_by_the_callers_workspace(start):
    """Both model calls of a brief, herald's and navi's, count for the workspace of the request."""
    service = start(agent_metrics=True)
    service.run("herald", QUESTION, operation="brief", workspace="acme")
    tokens = service.samples("workspace_tokens_total")
    assert {dict(labels)["workspace_id"] for labels, number in tokens.items() if number} == {"acme"}
    assert sum(tokens.values()) == sum(service.samples("ccr_tokens_total").values())


def test_the_mcp_server_continues_the_trace(start):
    """The request to the MCP server is a span below the tool's, and the server's own span is below that one."""
    service = start(agent_metrics=True)
    service.run("navi", QUESTION, operation="research")
    service.spans.wait("POST /agents/{agent}/runs")
    (tool,) = service.spans.named("execute_tool find_metrics")
    spans = {span.kind: span for span in service.spans.named("tools/call find_metrics")}
    assert spans[SpanKind.CLIENT].parent.span_id == tool.context.span_id
    assert spans[SpanKind.SERVER].parent.span_id == spans[SpanKind.CLIENT].context.span_id


def test_the_mcp_server_inside_leaves_the_log_as_it_is(tmp_path):
    """The SDK's server installs no handler of its own: libraries' lines stay out of the service's log."""
    with Service(tmp_path / "service", {}) as service:
        for _ in range(2):
            assert "[find_metrics] a2a_requests_total" in service.run("navi", QUESTION, operation="research").text
    assert "builtin.internal" not in service.log.read_text()
