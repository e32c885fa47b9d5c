"""The bookkeeping of simulated instances, which comparisons with a store rest on."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from stack.load.instances import Activity, Event, Fleet, Instance, Truth, series
from stack.servers.process import until

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Fleet(seed=1) as running:
        yield running


def _named(fleet: Fleet) -> list[str]:
    found = httpx.get(f"http://{fleet.address}/targets").json()
    return [target["labels"]["instance"] for target in found]


def _scraped(fleet: Fleet, name: str) -> httpx.Response:
    return httpx.get(f"http://{fleet.address}/instances/{name}", headers={"Accept": OPENMETRICS})


def test_the_log_holds_what_the_exposition_shows() -> None:
    """Requests, buckets and sums computed from the log are those of the exposition, sample by sample."""
    instance = Instance("agentos-0000", seed=5)
    instance.record(500)
    instance.scrape(OPENMETRICS)
    shown, truth = instance.last_values(), Truth(instance.events)
    for (agent, operation, status), count in truth.requests.items():
        labels = {"agent": agent, "operation": operation, "status": status, "instance": "agentos-0000"}
        assert shown[series({"__name__": "a2a_requests_total", **labels})] == count
    for agent in truth.agents:
        name = "a2a_request_duration_seconds"
        of_agent = [(dict(key), value) for key, value in shown.items() if ("agent", agent) in key]
        kept = [(labels, value) for labels, value in of_agent if labels["__name__"].startswith(name)]
        assert sum(value for labels, value in kept if labels["__name__"] == f"{name}_sum") == truth.seconds(agent)
        for bound, count in truth.buckets(agent):
            assert sum(value for labels, value in kept if labels.get("le") == repr(bound)) == count


def test_events_follow_from_the_seed() -> None:
    """Two instances of one seed record the same events, and one of another seed records others."""
    logs = []
    for seed in (7, 7, 8):
        instance = Instance("agentos-0000", seed)
        instance.record(20)
        logs.append(instance.events)
    assert logs[0] == logs[1] != logs[2]


def test_a_scrape_counts_the_samples_that_it_answers() -> None:
    """An instance expects in the store the samples of all its answers and five of the scraper for each."""
    instance = Instance("agentos-0000", seed=5)
    instance.scrape(OPENMETRICS)
    instance.scrape(OPENMETRICS)
    assert instance.stored_samples() == 2 * (len(instance.last_values()) + 5)


def test_events_after_the_last_scrape_are_not_seen(fleet: Fleet) -> None:
    """Events count as seen up to the last answered scrape; a crash leaves the others unseen for good."""
    (instance,) = fleet.launch(1)
    instance.record(3)
    instance.scrape(OPENMETRICS)
    instance.record(2)
    assert not fleet.all_seen()
    instance.crash()
    assert fleet.all_seen()
    assert list(fleet.seen()) == instance.events[:3]
    assert fleet.unseen() == 2


def test_an_ended_instance_records_nothing() -> None:
    """Recording after the end leaves log and exposition as they are."""
    instance = Instance("agentos-0000", seed=5)
    instance.drain()
    instance.record(10)
    assert instance.events == []


def test_a_drained_instance_leaves_discovery_after_its_last_event_was_scraped(fleet: Fleet) -> None:
    """Discovery names a drained instance until an answer has shown its last event, and the instance still answers then."""
    fleet.launch(2)
    fleet.instances[0].record(1)
    fleet.instances[0].drain()
    assert _named(fleet) == ["agentos-0000", "agentos-0001"]
    assert "a2a_requests_total" in _scraped(fleet, "agentos-0000").text
    assert _named(fleet) == ["agentos-0001"]
    assert _scraped(fleet, "agentos-0000").status_code == 200


def test_a_crashed_instance_leaves_discovery_after_a_refused_scrape(fleet: Fleet) -> None:
    """Scrapes of a crashed instance fail, are counted, and end its time in discovery; a new instance has a new name."""
    (crashed,) = fleet.launch(1)
    crashed.crash()
    assert _named(fleet) == ["agentos-0000"]
    assert _scraped(fleet, "agentos-0000").status_code == 503
    assert (crashed.failed, crashed.stored_samples()) == (1, 5)
    fleet.launch(1)
    assert _named(fleet) == ["agentos-0001"]


def test_discovery_is_empty_after_it_was_retracted(fleet: Fleet) -> None:
    """A retracted fleet names no instance, though all are running."""
    fleet.launch(2)
    fleet.retract()
    assert _named(fleet) == []


def test_activity_records_and_replaces_instances(fleet: Fleet) -> None:
    """Activity records events, and each wave drains two instances, crashes one and starts three."""
    fleet.launch(5)
    activity = Activity(fleet, churn_seconds=0.5)
    until("the first wave", lambda: len(fleet.instances) >= 8)
    activity.stop()
    assert len(fleet.running()) == 5
    assert any(each.events for each in fleet.instances)


def test_quantiles_are_interpolated_as_promql_does() -> None:
    """Within the bucket of the rank the quantile is linear, and above the highest bound it is that bound."""
    seconds = [0.03, 0.06, 0.07, 0.2]
    truth = Truth(Event("navi", "query", "success", each, 100) for each in seconds)
    assert truth.buckets("navi")[:4] == [(0.01, 0), (0.05, 1), (0.1, 3), (0.25, 4)]
    assert truth.quantile("navi", 0.5) == 0.05 + (0.1 - 0.05) * (1 / 2)
    assert truth.quantile("navi", 0.25) == 0.01 + (0.05 - 0.01) * (1 / 1)
    slow = Truth([Event("navi", "query", "success", 60.0, 100)])
    assert slow.quantile("navi", 0.5) == 10


@pytest.mark.parametrize(("q", "bucket"), [(0.25, (0.01, 0.05)), (0.5, (0.05, 0.1)), (0.99, (0.1, 0.25))])
def test_the_bucket_of_a_quantile_holds_the_ranked_duration(q: float, bucket: tuple[float, float]) -> None:
    """The bounds are those around the duration of the quantile's rank."""
    truth = Truth(Event("navi", "query", "success", each, 100) for each in (0.03, 0.06, 0.07, 0.2))
    assert truth.bucket_of_quantile("navi", q) == bucket
