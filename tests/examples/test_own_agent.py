"""The example of an agent of one's own."""

from __future__ import annotations

import httpx

from tests.helpers.example_process import line_filter
from tests.helpers.samples import labelled, samples_of


def test_invocations_and_their_own_calls_are_counted() -> None:
    """Two questions with a product and one without: three invocations with 2, 2 and 1 model calls and 1, 1 and 0 tools."""
    with line_filter("own_agent.py") as (process, url):
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for line in ("What is 6 * 7?", "And 12 * 12?", "Who are you?"):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            answers.append(process.stdout.readline())
        found = samples_of(httpx.get(url).text)
    assert answers == ["It is 42\n", "It is 144\n", "I can only multiply two numbers.\n"]
    agent = {"gen_ai_agent_name": "calculator"}
    invoked = {**agent, "gen_ai_operation_name": "invoke_agent", "gen_ai_request_model": "local-1"}
    executed = {**agent, "gen_ai_tool_name": "multiply", "gen_ai_tool_type": "function"}
    assert found[labelled("gen_ai_invoke_agent_duration_seconds_count", **invoked)] == 3
    assert found[labelled("gen_ai_execute_tool_duration_seconds_count", **executed)] == 2
    assert found[labelled("gen_ai_invoke_agent_inference_calls_sum", **agent)] == 5
    assert found[labelled("gen_ai_invoke_agent_tool_calls_sum", **agent)] == 2
    assert found[labelled("gen_ai_invoke_agent_tool_calls_count", **agent)] == 3
    assert found[labelled("ccr_requests_total", provider="local", task_type="question", status="success")] == 5
