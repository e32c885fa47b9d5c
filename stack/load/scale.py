"""Simulated instances, scraped by one agent that writes the same samples to a Cortex cluster and to a single Prometheus.

The agent writes to one node of Cortex, whose distributor hands each sample to three ingesters. While another node is away, two
replicas take every sample. While the node is away that the agent writes to, the samples wait in the agent's WAL.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.load.instances import Fleet, Truth, series
from stack.servers.binaries import binary
from stack.servers.cortex import Cortex, CortexNode
from stack.servers.process import until
from stack.servers.prometheus import Prometheus, PrometheusAgent, QueriedServer

__all__ = ["CORTEX", "QUANTILES", "SINGLE", "Comparison", "Scale", "compare", "running_scale"]

CORTEX, SINGLE = "cortex", "prometheus"
"""Names of the agent's remote stores."""
QUANTILES = (0.5, 0.9, 0.95, 0.99)
_JOB = 'job="agentos"'
_SCRAPE_REPORT = "up|scrape_.+"


@dataclass(frozen=True, slots=True)
class Scale:
    """The running instances and servers."""

    fleet: Fleet
    cortex: Cortex
    prometheus: Prometheus
    agent: PrometheusAgent

    @property
    def written_to(self) -> CortexNode:
        """The node that the agent writes to."""
        return self.cortex.nodes[0]

    @property
    def beside(self) -> CortexNode:
        """A node that gets samples from the first one alone."""
        return self.cortex.nodes[1]

    @property
    def asked(self) -> CortexNode:
        """The node that answers queries."""
        return self.cortex.nodes[2]

    @property
    def answering(self) -> dict[str, QueriedServer]:
        """The server that answers the queries of each store."""
        return {CORTEX: self.asked, SINGLE: self.prometheus}

    def await_scrapes(self, timeout: float = 120.0) -> None:
        """Waits until every running instance has been scraped.

        Raises:
            ServerError: If that is not so in time.
        """
        until("a scrape of each instance", lambda: all(each.scrapes for each in self.fleet.running()), timeout=timeout)

    def await_caught_up(self, store: str, moment: float, timeout: float = 300.0) -> None:
        """Waits until a store has taken a sample that was scraped after a moment, in seconds since the epoch.

        Raises:
            ServerError: If that is not so in time.
        """
        until(
            f"{store} to have the samples of the outage",
            lambda: self.agent.remote("queue_highest_sent_timestamp_seconds", store) >= moment,
            timeout=timeout,
        )

    def settle(self, timeout: float = 120.0) -> None:
        """Ends the scrapes once they have shown all events, and waits until both stores have taken all samples.

        Raises:
            ServerError: If they have not in time.
        """
        until("scrapes of the last events", self.fleet.all_seen, timeout=timeout)
        self.fleet.retract()
        until("the end of the scrapes", lambda: self.agent.targets == 0, timeout=timeout)
        appended = self.agent.appended
        until("both stores to take all samples", lambda: min(map(self._taken, (CORTEX, SINGLE))) >= appended, timeout=timeout)

    def _taken(self, store: str) -> int:
        return 0 if self.agent.remote("samples_pending", store) else self.agent.delivered(store)


@contextmanager
def running_scale(folder: Path, instances: int, interval: str, *, program: Callable[[str], Path] = binary) -> Iterator[Scale]:
    """Starts everything, the agent last, and stops it at the end.

    Args:
        folder: Holds the servers' files.
        instances: Number of instances at the start.
        interval: The time between two scrapes of an instance.
        program: Returns the path of a server's program by its name.
    """
    with ExitStack() as stack:
        cortex = stack.enter_context(Cortex(program("cortex"), folder / "cortex"))
        flags = ("--web.enable-remote-write-receiver", "--web.enable-admin-api")
        prometheus = stack.enter_context(Prometheus(program("prometheus"), folder / "prometheus", flags=flags))
        fleet = stack.enter_context(Fleet())
        fleet.launch(instances)
        remotes = {CORTEX: cortex.nodes[0].write_url, SINGLE: f"{prometheus.api}/write"}
        agent = PrometheusAgent(program("prometheus"), folder / "agent", [fleet.job(interval)], remotes)
        yield Scale(fleet, cortex, prometheus, stack.enter_context(agent))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a store should hold, computed from the instances' logs, and what it answers."""

    what: str
    wanted: Mapping[Any, float]
    found: Mapping[Any, float]

    @property
    def differing(self) -> list[Any]:
        """The keys whose values are not exactly equal, and those that one side lacks."""
        keys = self.wanted.keys() | self.found.keys()
        return [key for key in keys if self.wanted.get(key) != self.found.get(key)]


def compare(fleet: Fleet, store: QueriedServer, began: float) -> Iterator[Comparison]:
    """Yields everything that can be compared exactly; call it after ``Scale.settle``.

    Args:
        fleet: The instances.
        store: Answers the queries.
        began: Seconds since the epoch before the first scrape.
    """
    now = time.time()
    window = f"[{math.ceil(now - began) + 1}s]"

    def ask(expression: str, *keys: str) -> dict[tuple[str, ...], float]:
        return {tuple(s.labels.get(key, "") for key in keys): s.value for s in store.query(expression, at=now)}

    counted: Counter[tuple[str, ...]] = Counter()
    # count_over_time drops the name, and series must differ without it: one name at a time.
    for name in store.get("label/__name__/values", **{"match[]": f"{{{_JOB}}}", "start": str(began), "end": str(now)}):
        counted.update(ask(f"sum by (instance) (count_over_time({name}{{{_JOB}}}{window}))", "instance"))
    wanted = {(each.name,): each.stored_samples() for each in fleet.instances if each.scrapes or each.failed}
    yield Comparison("samples, by instance", wanted, counted)
    last = store.query(f'last_over_time({{{_JOB},__name__!~"{_SCRAPE_REPORT}"}}{window})', at=now)
    yield Comparison(
        "last value of each series",
        {key: value for each in fleet.instances for key, value in each.last_values().items()},
        {series(sample.labels): sample.value for sample in last},
    )
    truth = Truth(fleet.seen())
    keys = ("agent", "operation", "status")
    requests = f"last_over_time(a2a_requests_total{{{_JOB}}}{window})"
    yield Comparison(
        "requests, by agent, operation and status", truth.requests, ask(f"sum by ({','.join(keys)}) ({requests})", *keys)
    )
    yield from _durations(truth, window, ask)


def _durations(truth: Truth, window: str, ask: Callable[..., dict[tuple[str, ...], float]]) -> Iterator[Comparison]:
    name = "a2a_request_duration_seconds"

    def last(suffix: str) -> str:
        return f"last_over_time({name}_{suffix}{{{_JOB}}}{window})"

    yield Comparison(
        "seconds of all requests, by agent",
        {(agent,): truth.seconds(agent) for agent in truth.agents},
        ask(f"sum by (agent) ({last('sum')})", "agent"),
    )
    buckets = ask(f"sum by (agent, le) ({last('bucket')})", "agent", "le")
    yield Comparison(
        "buckets of the duration, by agent",
        {(agent, bound): count for agent in truth.agents for bound, count in truth.buckets(agent)},
        {(agent, float(bound)): count for (agent, bound), count in buckets.items()},
    )
    for q in QUANTILES:
        yield Comparison(
            f"{q:.0%} quantile of the duration, by agent",
            {(agent,): truth.quantile(agent, q) for agent in truth.agents},
            ask(f"histogram_quantile({q}, sum by (agent, le) ({last('bucket')}))", "agent"),
        )
