"""Push by OTLP over HTTP, with a sampler, beside the scrape."""

from __future__ import annotations

import time
from pathlib import Path

from stack.load import traffic
from stack.pipeline_checks import MIXED, OURS, PUSHED, SCRAPED, running_pipeline, series
from stack.servers.process import until
from tests.helpers.required_servers import built_server

CALLS = 150


def test_with_sampling_exemplars_only_name_sampled_traces(tmp_path: Path) -> None:
    """At 10 % sampling each exemplar's trace is in Jaeger, and over http/protobuf the pushed state equals the scraped one."""
    sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    with running_pipeline(
        tmp_path, {**MIXED, **sampled, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, protocol="http/protobuf", program=built_server
    ) as pipeline:
        started = time.time()
        seen = traffic.make(pipeline.service.url, traffic.mixed(CALLS))
        called = sum(outcome.status != "denied" for outcome in seen)
        until("the scrape", lambda: pipeline.prometheus.value(f'sum(a2a_requests_total{{job="{SCRAPED}"}})') == called)
        until("the push", lambda: series(pipeline.prometheus, PUSHED) == series(pipeline.prometheus, SCRAPED))
        rows = pipeline.prometheus.exemplars(f"{{{OURS}}}", started, time.time())
        named = {exemplar["labels"]["trace_id"] for row in rows for exemplar in row["exemplars"]}
        until("the spans", lambda: named <= {span.trace_id for span in pipeline.jaeger.spans("agentos")})
        kept = {span.trace_id for span in pipeline.jaeger.spans("agentos")}
        print(f"{len(named)} traces named by exemplars, {len(kept)} kept of {CALLS}")
        assert 0 < len(named) <= len(kept) < CALLS / 2


def test_the_tail_sampler_keeps_errors_and_slow_calls(tmp_path: Path) -> None:
    """With TRACE_PROCESSORS=[tail_sampling] every failed call's trace is kept, and most of the others are dropped."""
    settings = {**MIXED, "AGENTOS_RATE_LIMIT": "off"}
    with running_pipeline(
        tmp_path, settings, collector={"TRACE_PROCESSORS": "[tail_sampling]"}, program=built_server
    ) as pipeline:
        outcomes = traffic.make(pipeline.service.url, traffic.mixed(CALLS))
        failed = {outcome.trace_id for outcome in outcomes if outcome.status == "error"}
        answered = {outcome.trace_id for outcome in outcomes if outcome.status == "success"}
        assert len(failed) > 5
        until("the failed calls", lambda: failed <= {span.trace_id for span in pipeline.spans("a2a.request")}, timeout=60)
        kept = {span.trace_id for span in pipeline.spans("a2a.request")}
        print(f"kept {len(kept & failed)} of {len(failed)} failed, {len(kept & answered)} of {len(answered)} others")
        assert len(kept & answered) < len(answered) / 2
        rows = pipeline.prometheus.exemplars('{__name__=~"spans_.+"}', time.time() - 300, time.time())
        named = {exemplar["labels"]["trace_id"] for row in rows for exemplar in row["exemplars"]}
        assert named <= {span.trace_id for span in pipeline.jaeger.spans("agentos")}
