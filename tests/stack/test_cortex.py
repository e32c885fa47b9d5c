"""Three Cortex nodes, fed through an agent, of which one and then another is killed and started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import pytest

from stack.load.instances import Truth
from stack.load.scale import CORTEX, QUANTILES, SINGLE, Comparison, Scale, compare, running_scale
from stack.servers.process import until
from stack.servers.prometheus import QueriedServer, own_metric
from tests.helpers.required_servers import built_server


@dataclass(frozen=True, slots=True)
class Survived:
    """The settled servers after both outages, and what was seen meanwhile."""

    scale: Scale
    began: float
    stored_without_one_node: float
    waiting_without_the_first: int


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survived]:
    """Ten instances with churn, and two outages of one node each."""
    began = time.time()
    with running_scale(tmp_path_factory.mktemp("scale"), 10, "2s", program=built_server) as scale:
        scale.await_scrapes()
        scale.beside.kill()
        stored = _scraped_events(scale)
        scale.beside.start()
        scale.cortex.await_ring()
        scale.written_to.kill()
        _churn(scale)
        until("scrapes of all events", scale.fleet.all_seen)
        waiting = scale.agent.appended - scale.agent.delivered(CORTEX)
        scale.written_to.start()
        scale.cortex.await_ring()
        scale.settle()
        yield Survived(scale, began, stored, waiting)


def _scraped_events(scale: Scale) -> float:
    """Records events at each instance; returns the number of them that Cortex answers with once all are stored."""
    for instance in scale.fleet.running():
        instance.record(50)
    wanted = 50.0 * len(scale.fleet.running())
    until("the events to be stored", lambda: scale.asked.value("sum(a2a_requests_total)") == wanted, timeout=60)
    return wanted


def _churn(scale: Scale) -> None:
    """Records events, drains two instances, crashes one that has events which no scrape has shown, and starts three."""
    running = scale.fleet.running()
    for instance in running:
        instance.record(30)
    running[0].drain()
    running[1].drain()
    running[2].crash()
    for instance in scale.fleet.launch(3):
        instance.record(20)


def _comparisons(survived: Survived, node: int) -> list[Comparison]:
    return list(compare(survived.scale.fleet, survived.scale.cortex.nodes[node], survived.began))


@pytest.mark.parametrize("node", [0, 1, 2])
def test_each_node_answers_with_what_the_instances_recorded(survived: Survived, node: int) -> None:
    """Number of samples, last values, totals, buckets and quantiles equal those of the instances' logs, on every node."""
    assert {each.what: each.differing for each in _comparisons(survived, node) if each.differing} == {}


def test_a_single_prometheus_has_the_same(survived: Survived) -> None:
    """The agent's second store equals the logs, too."""
    scale = survived.scale
    found = list(compare(scale.fleet, scale.prometheus, survived.began))
    assert [each.what for each in found if each.differing] == []
    assert len(found[1].wanted) > 2_000


def test_every_sample_is_the_same_in_both_stores(survived: Survived) -> None:
    """Times and values of all samples of all series are equal in Cortex and in the single Prometheus."""
    now = time.time()
    in_cortex, in_single = (_samples(store, survived.began, now) for store in survived.scale.answering.values())
    assert in_cortex == in_single
    assert sum(map(len, in_single.values())) == sum(each.stored_samples() for each in survived.scale.fleet.instances)


def _samples(store: QueriedServer, began: float, now: float) -> dict[frozenset[tuple[str, str]], list[Any]]:
    found = store.get("query", query=f'{{job="agentos"}}[{ceil(now - began)}s]', time=str(now))["result"]
    return {frozenset(each["metric"].items()): each["values"] for each in found}


def test_samples_are_stored_while_a_node_is_away(survived: Survived) -> None:
    """With one of three replicas away, two take every sample, and the query answers with all of them."""
    assert survived.stored_without_one_node == 500


def test_the_agent_keeps_what_it_cannot_write(survived: Survived) -> None:
    """Without the node it writes to, samples wait in the agent; afterwards all are written, none refused or dropped."""
    agent = survived.scale.agent
    assert survived.waiting_without_the_first > 2_000
    for store in (CORTEX, SINGLE):
        assert [agent.remote(f"samples_{how}_total", store) for how in ("failed", "dropped")] == [0, 0]


def test_quantiles_lie_in_the_bucket_of_the_durations_quantile(survived: Survived) -> None:
    """Each quantile that Cortex answers lies within the bucket that holds the quantile of the durations themselves."""
    truth = Truth(survived.scale.fleet.seen())
    found = {each.what: each.found for each in _comparisons(survived, 2)}
    for q in QUANTILES:
        for (agent,), value in found[f"{q:.0%} quantile of the duration, by agent"].items():
            lower, upper = truth.bucket_of_quantile(agent, q)
            assert lower <= value <= min(upper, 10)


def test_a_flush_ships_the_samples_of_three_ingesters(survived: Survived) -> None:
    """The shared store has blocks of all ingesters, of which the one that was never away holds every sample."""
    scale = survived.scale
    blocks = scale.cortex.flush()
    assert own_metric(scale.asked.url, "cortex_ingester_shipper_uploads_total") >= 1
    everything = sum(block.samples for block in scale.prometheus.snapshot())
    assert 2 * everything < sum(block.samples for block in blocks) < 3 * everything
