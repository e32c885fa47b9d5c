"""A server of the pipeline is killed under load and started again. `make bench-outage` measures this over a minute."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from stack.load import traffic
from stack.load.outage import STEADY, VICTIMS, lost_traces, outage
from stack.pipeline_checks import Pipeline, running_pipeline
from stack.servers.process import until
from tests.helpers.required_servers import built_server


@pytest.mark.parametrize("victim", VICTIMS)
def test_callers_and_totals_survive_an_outage(tmp_path: Path, victim: str) -> None:
    """No caller sees an error, memory stays bounded, all totals agree afterwards, and no accepted span is lost."""
    with running_pipeline(tmp_path, STEADY, program=built_server) as pipeline:
        result = outage(pipeline, victim, before=3, away=5, after=2)
        assert {outcome.status for outcome in result.outcomes} == {"success"}
        assert all(end - start < 64 for start, end in result.resident_mib.values()), result.resident_mib
        # Jaeger stores spans in memory: a kill loses the stored ones; spans queued for it must arrive afterwards.
        # Spans that the service could not send to the stopped Collector may be lost.
        kept = {"collector": result.after, "jaeger": [*result.during, *result.after], "prometheus": result.outcomes}
        assert lost_traces(pipeline, kept[victim]) == 0
        print(f"{victim}: p99 during the outage {result.slower:.2f}x, MiB {result.resident_mib}")


def test_the_totals_of_several_workers_survive_an_outage(tmp_path: Path) -> None:
    """With four workers that push through a restarted Collector, the pushed sum equals the scraped total."""
    with running_pipeline(tmp_path, STEADY, program=built_server, workers=4) as pipeline:
        result = outage(pipeline, "collector", before=3, away=5, after=2)
        assert {outcome.status for outcome in result.outcomes} == {"success"}
        assert pipeline.prometheus.value('count(count by (instance) (a2a_requests_total{job="otlp/agentos"}))') == 4
        assert lost_traces(pipeline, result.after) == 0


def queued(pipeline: Pipeline) -> int:
    """Returns the bytes in the Collector's queue for the trace store."""
    text = httpx.get(f"http://127.0.0.1:{pipeline.collector.telemetry}/metrics").text
    sizes = [line for line in text.splitlines() if line.startswith("otelcol_exporter_queue_size{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in sizes if "otlp_grpc/traces" in line)


def test_a_queue_on_disk_survives_the_collector(tmp_path: Path) -> None:
    """While the trace store is down, the spans of 300 calls wait on disk; a kill of the Collector loses none."""
    with running_pipeline(tmp_path, STEADY, program=built_server) as pipeline:
        pipeline.jaeger.kill()
        outcomes = traffic.make(pipeline.service.url, traffic.mixed(300))
        handed_over = 'sum(spans_calls_total{span_name="a2a.request"})'
        until("the Collector to have all spans", lambda: pipeline.prometheus.value(handed_over) == 300)
        waiting = queued(pipeline)
        assert waiting > 100_000
        pipeline.collector.kill()
        pipeline.collector.start()
        pipeline.jaeger.start()
        assert lost_traces(pipeline, outcomes) == 0
        print(f"{waiting} bytes waited on disk")
