"""Counts and spans of agents, tools, MCP, workspaces and quotas, against what scripted servers did, in a real trace store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from stack.servers.jaeger import Span
from stack.servers.process import until
from tests.helpers.agent_traffic import Traffic, agent_traffic
from tests.helpers.required_servers import built_server

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
ANSWER = 8 * Decimal("0.0002") + 3 * Decimal("0.0001") + 5 * Decimal("0.0008")
"""USD of one answer: 11 tokens of input, of which 3 were cached, and 5 of output."""
FAMILIES = ("gen_ai_", "mcp_", "workspace_", "ccr_quota_", "ccr_estimated_", "ccr_cost_")
NOT_EXACT = ("_bucket", "_created", "_seconds_sum", "_period_end_timestamp_seconds")
ALWAYS_THE_SAME = {
    *("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model"),
    *("gen_ai_token_modality", "mcp_protocol_version", "network_transport", "server_address", "server_port"),
}
OF_THE_VALUE = {"le", "direction", "gen_ai_token_modality"}
"""Labels that tell parts of one call apart: no attributes of its span."""

ROUTER_ERROR = "model"
AGENTS = {
    "gen_ai_invoke_agent_duration_seconds_count/navi": 4,
    f"gen_ai_invoke_agent_duration_seconds_count/{ROUTER_ERROR}/navi": 1,
    "gen_ai_invoke_agent_duration_seconds_count/herald": 1,
    "gen_ai_invoke_agent_duration_seconds_count/cancelled/herald": 1,
    "gen_ai_invoke_agent_inference_calls_count/navi": 5,
    "gen_ai_invoke_agent_inference_calls_sum/navi": 1 + 1 + 1 + 2 + 2,  # a status of 500 and a closed port: asked again
    "gen_ai_invoke_agent_inference_calls_count/herald": 2,
    "gen_ai_invoke_agent_inference_calls_sum/herald": 1 + 1,
    "gen_ai_invoke_agent_tool_calls_count/navi": 5,
    "gen_ai_invoke_agent_tool_calls_sum/navi": 2 + 2 + 2 + 1 + 0,
    "gen_ai_invoke_agent_tool_calls_count/herald": 2,
    "gen_ai_execute_tool_duration_seconds_count/navi/calculate/function": 2,
    "gen_ai_execute_tool_duration_seconds_count/tool_error/navi/calculate/function": 1,
    "gen_ai_execute_tool_duration_seconds_count/navi/look_up/extension": 2,
    "gen_ai_execute_tool_duration_seconds_count/tool_error/navi/look_up/extension": 1,
    "gen_ai_execute_tool_duration_seconds_count/connection_closed/navi/look_up/extension": 1,
}
MCP = {
    "mcp_client_operation_duration_seconds_count/server/discover": 2,  # the second one after the crash
    "mcp_client_operation_duration_seconds_count/look_up/tools/call": 2,
    "mcp_client_operation_duration_seconds_count/tool_error/look_up/tools/call": 1,
    "mcp_client_operation_duration_seconds_count/connection_closed/look_up/tools/call": 1,
    "mcp_client_session_duration_seconds_count/connection_closed": 1,
    "mcp_servers_up/tools": 1,
}
INFERENCES = {
    "gen_ai_client_inference_duration_seconds_count": 5,
    "gen_ai_client_inference_duration_seconds_count/500": 1,
    "gen_ai_client_inference_duration_seconds_count/unreachable": 2,
    "gen_ai_client_inference_duration_seconds_count/cancelled": 1,
    "gen_ai_client_inference_usage_input_tokens_total": 5 * 11,
    "gen_ai_client_inference_usage_output_tokens_total": 5 * 5,
    "gen_ai_client_inference_usage_cache_read_input_tokens_total": 5 * 3,
    "gen_ai_client_inference_usage_reasoning_output_tokens_total": 5 * 2,
    "gen_ai_client_inference_operation_input_tokens_count": 5,
    "gen_ai_client_inference_operation_input_tokens_count/500": 1,
    "gen_ai_client_inference_operation_input_tokens_count/unreachable": 2,
    "gen_ai_client_inference_operation_input_tokens_count/cancelled": 1,
    "gen_ai_client_inference_operation_input_tokens_sum": 5 * 11,
    "gen_ai_client_inference_operation_output_tokens_count": 5,
    "gen_ai_client_inference_operation_output_tokens_count/500": 1,
    "gen_ai_client_inference_operation_output_tokens_count/unreachable": 2,
    "gen_ai_client_inference_operation_output_tokens_count/cancelled": 1,
    "gen_ai_client_inference_operation_output_tokens_sum": 5 * 5,
    "gen_ai_client_inference_time_to_first_chunk_seconds_count": 5 + 1,  # the cancelled one had begun
    "gen_ai_client_inference_time_per_output_chunk_seconds_count": 5 + 1,
    "ccr_quota_limit/main/requests": 500,
    "ccr_quota_limit/main/tokens": 30_000,
    "ccr_quota_remaining/main/requests": 417,
    "ccr_quota_remaining/main/tokens": 29_000,
}
WORKSPACES = {
    "workspace_tokens_total/input/acme": 3 * 8,
    "workspace_tokens_total/cached/acme": 3 * 3,
    "workspace_tokens_total/output/acme": 3 * 3,
    "workspace_tokens_total/reasoning/acme": 3 * 2,
    "workspace_tokens_total/input/globex": 2 * 8,
    "workspace_tokens_total/cached/globex": 2 * 3,
    "workspace_tokens_total/output/globex": 2 * 3,
    "workspace_tokens_total/reasoning/globex": 2 * 2,
    "workspace_cost_USD_total/acme": float(3 * ANSWER),
    "workspace_cost_USD_total/globex": float(2 * ANSWER),
    "workspace_unpriced_total/zen": 1,
    "workspace_estimated_tokens_total/input/zen": 2,  # a quarter of "12345678"
    "workspace_estimated_tokens_total/output/zen": 4,  # a quarter of "never reported", rounded up
    "workspace_budget_USD/acme": 1,
    "workspace_budget_USD/globex": 0.01,
    "workspace_budget_remaining_USD/acme": float(1 - 3 * ANSWER),
    "workspace_budget_remaining_USD/globex": float(Decimal("0.01") - 2 * ANSWER),
    "ccr_estimated_tokens_total/input/m/main": 2,
    "ccr_estimated_tokens_total/output/m/main": 4,
    "ccr_cost_USD_total/m/main": float(5 * ANSWER),
}

BRIEF = [
    "POST /agents/{agent}/runs",
    " a2a.request",
    "  POST",
    "   A2A agent",
    "    invoke_agent herald",
    "     a2a.request",
    "      POST",
    "       A2A agent",
    "        invoke_agent navi",
    "         ccr.route",
    "          ccr.request",
    "         execute_tool calculate",
    "         execute_tool look_up",
    "          tools/call look_up",
    "     ccr.route",
    "      ccr.request",
]
LOST_SERVER = [
    "POST /agents/{agent}/runs",
    " a2a.request",
    "  POST",
    "   A2A agent",
    "    invoke_agent navi",
    "     ccr.route",
    "      ccr.request",
    "      ccr.request 500",
    "     execute_tool look_up connection_closed",
    "      tools/call look_up connection_closed",
]
NO_PROVIDER = [
    "POST /agents/{agent}/runs",
    " a2a.request agent",
    "  POST",
    "   A2A agent",
    f"    invoke_agent navi {ROUTER_ERROR}",
    "     cache.operation",
    "     ccr.route RouterError",
    "      ccr.request unreachable",
    "      ccr.request unreachable",
]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    """The runs have ended, and the MCP server that was lost is back."""
    with agent_traffic(built_server("jaeger"), tmp_path_factory.mktemp("agents")) as made:
        yield made


def samples(traffic: Traffic) -> list[Sample]:
    body = traffic.service.metrics(OPENMETRICS)
    families = text_string_to_metric_families(body)  # type: ignore[no-untyped-call]  # prometheus_client's parser has no types
    return [sample for family in families for sample in family.samples if sample.name.startswith(FAMILIES)]


def test_series_count_what_the_scripts_did(traffic: Traffic) -> None:
    """Every sample of these families above or below 0 has the value that the scripted runs caused, and there is no other."""
    found: defaultdict[str, float] = defaultdict(float)
    for sample in samples(traffic):
        if not sample.name.endswith(NOT_EXACT):
            labels = [value for key, value in sorted(sample.labels.items()) if value and key not in ALWAYS_THE_SAME]
            found["/".join([sample.name, *labels])] += sample.value
    lists = found.pop("mcp_client_operation_duration_seconds_count/tools/list")
    assert lists >= 2  # one in each session, and one each 30 s
    assert {key: value for key, value in found.items() if value} == AGENTS | MCP | INFERENCES | WORKSPACES


def test_every_exemplar_names_a_span_with_the_labels_of_its_series(traffic: Traffic) -> None:
    """Each exemplar's span is in the trace store, and has each label of the series as an attribute."""
    exemplars = [(sample, sample.exemplar.labels) for sample in samples(traffic) if sample.exemplar]
    wanted = {(ids["trace_id"], ids["span_id"]) for _, ids in exemplars}

    def stored() -> dict[tuple[str, str], Span] | None:
        found = {(span.trace_id, span.span_id): span for span in traffic.jaeger.spans("agentos")}
        return found if wanted <= found.keys() else None

    spans = until("the spans", stored)
    checked: Counter[str] = Counter()
    for sample, ids in exemplars:
        span = spans[ids["trace_id"], ids["span_id"]]
        attributes = {key.replace(".", "_"): str(value) for key, value in span.tags.items()}
        labels = {key: value for key, value in sample.labels.items() if value and key not in OF_THE_VALUE}
        assert {key: attributes.get(key) for key in labels} == labels, (sample.name, span.name)
        checked[sample.name.removesuffix("_bucket")] += 1
    print(f"{checked.total()} exemplars checked: {dict(checked)}")
    assert checked.keys() >= {
        "gen_ai_invoke_agent_duration_seconds",
        "gen_ai_invoke_agent_inference_calls",
        "gen_ai_invoke_agent_tool_calls",
        "gen_ai_execute_tool_duration_seconds",
        "gen_ai_client_inference_duration_seconds",
        "gen_ai_client_inference_operation_input_tokens",
        "gen_ai_client_inference_usage_input_tokens_total",
        "mcp_client_operation_duration_seconds",
    }


def test_a_brief_is_one_tree(traffic: Traffic) -> None:
    """Herald calls navi over A2A, navi two tools, one of them over MCP, and both their models: one trace with a single root."""
    assert tree(traffic, "brief", BRIEF) == BRIEF


def test_failures_are_in_the_tree_of_their_run(traffic: Traffic) -> None:
    """A server that is lost in a call, and providers that fail, are errors on the spans of what failed by them alone."""
    assert tree(traffic, "failing server", LOST_SERVER) == LOST_SERVER
    assert tree(traffic, "no provider", NO_PROVIDER) == NO_PROVIDER


def tree(traffic: Traffic, run: str, expected: list[str]) -> list[str]:
    """Returns the spans of a run once as many as expected are there: each below its parent, siblings by name."""
    spans = until(
        "the trace", lambda: found if len(found := traffic.jaeger.trace(traffic.traces[run])) >= len(expected) else None
    )

    def below(parent: str | None, depth: int) -> list[str]:
        children = [span for span in spans if span.parent_id == parent]
        lines = {span.span_id: f"{' ' * depth}{span.name} {span.tags.get('error.type', '')}".rstrip() for span in children}
        return [line for one in sorted(lines, key=lines.__getitem__) for line in (lines[one], *below(one, depth + 1))]

    return below(None, 0)
