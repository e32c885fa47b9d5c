"""Metrics and traces of 500 mixed calls agree in Prometheus and in Jaeger."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from stack.load import traffic
from stack.pipeline_checks import MIXED, OURS, PUSHED, SCRAPED, Pipeline, running_pipeline, series
from stack.servers.jaeger import Span
from stack.servers.process import until
from tests.helpers.required_servers import built_server

CALLS = 500
A2A = ("agent", "operation", "status")
CCR = ("provider", "task_type", "status")
NOT_ON_SPANS = {"__name__", "job", "instance", "le", "direction", "otel_scope_name", "otel_scope_version"}
TOKENS = {"input": "gen_ai.usage.input_tokens", "output": "gen_ai.usage.output_tokens"}


@dataclass(frozen=True, slots=True)
class Measured:
    """The pipeline after the calls, and the callers' outcomes."""

    pipeline: Pipeline
    seen: Counter[tuple[str, str, str]]
    started: float

    @property
    def called(self) -> Counter[tuple[str, str, str]]:
        """The calls that reached an agent, by agent, operation and status."""
        return Counter({key: count for key, count in self.seen.items() if key[2] != "denied"})


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """All spans and samples of 500 mixed calls have arrived in each store."""
    with running_pipeline(tmp_path_factory.mktemp("chain"), MIXED, program=built_server) as pipeline:
        started = time.time()
        seen = traffic.tally(traffic.make(pipeline.service.url, traffic.mixed(CALLS)))
        found = Measured(pipeline, seen, started)
        until("the scrape", lambda: pipeline.counts("a2a_requests_total", SCRAPED, *A2A) == found.called)
        until("the push", lambda: series(pipeline.prometheus, PUSHED) == series(pipeline.prometheus, SCRAPED))
        spans = 'sum(spans_calls_total{span_name="a2a.request"})'
        until("span_metrics", lambda: pipeline.prometheus.value(spans) == found.called.total())
        until("Jaeger", lambda: len(pipeline.spans("a2a.request")) == found.called.total())
        yield found


def test_the_calls_were_mixed(measured: Measured) -> None:
    """Both agents have successes, errors and denied calls, most calls succeed, and none was broken."""
    assert measured.seen.total() == CALLS
    ended = Counter(status for *_, status in measured.seen.elements())
    assert ended["success"] > 2 * ended["error"]
    assert {(agent, status) for agent, _, status in measured.seen} == {
        (agent, status) for agent in ("navi", "herald") for status in ("success", "error", "denied")
    }


@pytest.mark.parametrize("job", [SCRAPED, PUSHED])
def test_every_exemplar_leads_to_a_span_with_its_series_labels(measured: Measured, job: str) -> None:
    """Each exemplar's span is in Jaeger and carries each label of the series; a direction's token count is above 0."""
    pipeline = measured.pipeline
    rows = pipeline.prometheus.exemplars(f'{{job="{job}",{OURS}}}', measured.started, time.time())
    spans = {(span.trace_id, span.span_id): span for span in pipeline.jaeger.spans("agentos")}
    checked: Counter[str] = Counter()
    for row in rows:
        labels = row["seriesLabels"]
        for exemplar in row["exemplars"]:
            ids = exemplar["labels"]
            span = spans[ids["trace_id"], ids["span_id"]]
            wanted = {key: value for key, value in labels.items() if key not in NOT_ON_SPANS}
            assert {key: span.tags.get(key) for key in wanted} == wanted, labels
            assert "direction" not in labels or span.tags[TOKENS[labels["direction"]]] > 0
            checked[labels["__name__"].removesuffix("_bucket").removesuffix("_total")] += 1
    print(f"{job}: {checked.total()} exemplars checked: {dict(checked)}")
    assert checked.keys() == {
        "a2a_request_duration_seconds",
        "a2a_requests",
        "a2a_errors",
        "a2a_response_size_bytes",
        "cache_operations",
        "cache_latency_seconds",
        "rate_limit_hits",
        "ccr_requests",
        "ccr_latency_seconds",
        "ccr_tokens",
    }


def test_exemplars_of_span_metrics_name_traces_that_are_kept(measured: Measured) -> None:
    """An exemplar of span_metrics leads to a trace in Jaeger that has a span of the series' name."""
    pipeline = measured.pipeline
    rows = pipeline.prometheus.exemplars('{__name__=~"spans_.+"}', measured.started, time.time())
    names: dict[str, set[str]] = {}
    for span in pipeline.jaeger.spans("agentos"):
        names.setdefault(span.trace_id, set()).add(span.name)
    pairs = [(r["seriesLabels"]["span_name"], e["labels"]["trace_id"]) for r in rows for e in r["exemplars"]]
    assert pairs
    assert [pair for pair in pairs if pair[0] not in names[pair[1]]] == []


def test_span_metrics_keep_their_series_when_the_collector_starts_anew(measured: Measured) -> None:
    """Each series of span metrics has the Collector's configured name, not one that each start makes."""
    named = measured.pipeline.prometheus.query("count by (collector_instance_id) (spans_calls_total)")
    assert [sample.labels for sample in named] == [{"collector_instance_id": "otel-collector"}]


def test_calls_counters_spans_and_span_metrics_agree(measured: Measured) -> None:
    """For each label set of A2A, the callers' outcomes, the counter, the spans and span_metrics have one number."""
    pipeline = measured.pipeline
    counted = pipeline.counts("a2a_requests_total", SCRAPED, *A2A)
    stored = Counter(tuple(span.tags[key] for key in A2A) for span in pipeline.spans("a2a.request"))
    derived = pipeline.counts('spans_calls_total{span_name="a2a.request"}', PUSHED, *A2A)
    print(f"{measured.called.total()} calls: {dict(measured.called)}")
    assert counted == stored == derived == measured.called


def test_model_calls_agree(measured: Measured) -> None:
    """For each label set of model calls, the counter, the spans and span_metrics have one number."""
    pipeline = measured.pipeline
    counted = pipeline.counts("ccr_requests_total", SCRAPED, *CCR)
    stored = Counter(tuple(span.tags[key] for key in CCR) for span in pipeline.spans("ccr.request"))
    derived = pipeline.counts('spans_calls_total{span_name="ccr.request"}', PUSHED, *CCR)
    assert counted == stored == derived
    assert counted.total() > 0


def test_scrape_and_push_together_count_nothing_twice(measured: Measured) -> None:
    """With scrape and push on, the job that dashboards read has each call once, and pushed series have another job."""
    prometheus = measured.pipeline.prometheus
    assert prometheus.value(f'sum(a2a_requests_total{{job="{SCRAPED}"}})') == measured.called.total()
    jobs = {sample.labels["job"] for sample in prometheus.query("count by (job) (a2a_requests_total)")}
    assert jobs == {SCRAPED, PUSHED}


def test_scraped_and_pushed_state_agree(measured: Measured) -> None:
    """After the load, the scraped and the pushed series are the same and have the same values."""
    scraped, pushed = (series(measured.pipeline.prometheus, job) for job in (SCRAPED, PUSHED))
    print(f"{len(scraped)} series compared")
    assert scraped == pushed
    assert len(scraped) > 200


def test_one_trace_leads_from_the_request_to_the_provider(measured: Measured) -> None:
    """In a call's trace each hop is the child of the one before, across the agent's HTTP call; no text of the call is in it."""
    pipeline = measured.pipeline
    calls = [traffic.Call("herald", "announce", f"later-{n}", "one more") for n in range(20)]
    answered = next(found for found in traffic.make(pipeline.service.url, calls) if found.status == "success")
    hops = ["POST /agents/{agent}/runs", "a2a.request", "POST", "A2A agent", "ccr.route", "ccr.request"]

    def whole() -> list[Span]:
        spans = pipeline.jaeger.trace(answered.trace_id)
        return spans if {span.name for span in spans} == set(hops) else []

    spans = until("the trace", whole)
    by_id = {span.span_id: span for span in spans}
    path = [next(span for span in spans if span.name == "ccr.request" and span.tags["status"] == "success")]
    while (parent := path[0].parent_id) is not None:
        path.insert(0, by_id[parent])
    assert [span.name for span in path] == hops
    model = path[-1].tags
    assert model["gen_ai.request.model"] == model["gen_ai.response.model"] == "builtin-1"
    assert (model["gen_ai.usage.input_tokens"], model["gen_ai.usage.output_tokens"]) == (2, 17)
    assert not any("one more" in str(value) for span in spans for value in span.tags.values())
