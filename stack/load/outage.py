"""One server of the pipeline is killed under load and started again: what callers, memory and totals say."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from stack.load import traffic
from stack.load.traffic import Outcome, Steady
from stack.pipeline_checks import PUSHED, SCRAPED, Pipeline, own_series, series
from stack.servers.process import Server, ServerError, until

__all__ = ["STEADY", "VICTIMS", "Result", "lost_traces", "outage"]

STEADY = {"AGENTOS_PROVIDERS": '{"steady": {"latency": 0.05}}', "AGENTOS_RATE_LIMIT": "off", "AGENTOS_CLIENT_RATE_LIMIT": "off"}
"""A service whose answers take the same time, so that a change is the outage's."""
VICTIMS: dict[str, Callable[[Pipeline], Server]] = {
    "collector": lambda pipeline: pipeline.collector,
    "jaeger": lambda pipeline: pipeline.jaeger,
    "prometheus": lambda pipeline: pipeline.prometheus,
}
_A_SECOND = 20.0
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """What an outage did."""

    before: list[Outcome]
    during: list[Outcome]
    after: list[Outcome]
    resident_mib: dict[str, tuple[float, float]]
    """Server -> resident memory at the start of the outage and at its end."""

    @property
    def outcomes(self) -> list[Outcome]:
        return [*self.before, *self.during, *self.after]

    @property
    def slower(self) -> float:
        """The 99th percentile during the outage over the one before."""
        return traffic.p99(self.during) / traffic.p99(self.before)


def outage(pipeline: Pipeline, victim: str, *, before: float, away: float, after: float) -> Result:
    """Kills the victim under a steady load, starts it again after ``away`` seconds; returns once all totals agree."""
    server = VICTIMS[victim](pipeline)
    clock = Event()  # never set: the time that an outage takes is what is measured
    traffic.make(pipeline.service.url, traffic.mixed(50))  # connections and code are warm before the first figure
    load = Steady(pipeline.service.url, _A_SECOND)
    try:
        started = time.monotonic()
        clock.wait(before)
        killed = time.monotonic()
        watched = {"service": pipeline.service, "collector": pipeline.collector}
        memory = {name: watch.resident_bytes() / _MIB for name, watch in watched.items()}
        server.kill()
        clock.wait(away)
        grown = {name: watch.resident_bytes() / _MIB for name, watch in watched.items() if watch is not server}
        server.start()
        back = time.monotonic()  # until it is ready it is still away
        clock.wait(after)
    finally:
        load.stop()
    ended = time.monotonic()
    until("all totals to agree", lambda: _agree(pipeline), timeout=60)
    return Result(
        load.ended_between(started, killed),
        load.ended_between(killed, back),
        load.ended_between(back, ended),
        {name: (memory[name], grown[name]) for name in grown},
    )


def _agree(pipeline: Pipeline) -> bool:
    own = own_series(pipeline.service)
    return own == series(pipeline.prometheus, SCRAPED) == series(pipeline.prometheus, PUSHED)


def lost_traces(pipeline: Pipeline, outcomes: list[Outcome], *, timeout: float = 60.0) -> int:
    """How many of the calls' traces do not reach Jaeger in time."""
    wanted = {outcome.trace_id for outcome in outcomes}
    missing = set(wanted)

    def arrived() -> bool:
        missing.intersection_update(wanted - {span.trace_id for span in pipeline.spans("a2a.request")})
        return not missing

    with suppress(ServerError):  # what is not there by then is counted
        until("the traces", arrived, timeout=timeout)
    return len(missing)
