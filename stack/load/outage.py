"""One server of the pipeline is killed under load and started again: the effect on callers, memory and totals."""

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
"""Settings of a service whose answers always take the same time, so that a change comes from the outage."""
VICTIMS: dict[str, Callable[[Pipeline], Server]] = {
    "collector": lambda pipeline: pipeline.collector,
    "jaeger": lambda pipeline: pipeline.jaeger,
    "prometheus": lambda pipeline: pipeline.prometheus,
}
_A_SECOND = 20.0
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """The calls around an outage, and the memory of the servers that stayed."""

    before: list[Outcome]
    during: list[Outcome]
    after: list[Outcome]
    resident_mib: dict[str, tuple[float, float]]
    """Server -> resident memory in MiB at the start of the outage and at its end."""

    @property
    def outcomes(self) -> list[Outcome]:
        return [*self.before, *self.during, *self.after]

    @property
    def slower(self) -> float:
        """The 99th percentile of the calls' duration during the outage over the one before."""
        return traffic.p99(self.during) / traffic.p99(self.before)


def outage(pipeline: Pipeline, victim: str, *, before: float, away: float, after: float) -> Result:
    """Kills a server under a steady load, starts it again, and waits until all totals agree.

    Args:
        pipeline: The running servers.
        victim: A key of ``VICTIMS``.
        before: Seconds of load before the outage.
        away: Seconds between the kill and the new start.
        after: Seconds of load after the server is ready again.
    """
    server = VICTIMS[victim](pipeline)
    clock = Event()  # never set: waiting on it lets the time of the outage pass
    traffic.make(pipeline.service.url, traffic.mixed(50))  # connections and code are warm before the first figure
    load = Steady(pipeline.service.url, _A_SECOND)
    try:
        started = time.monotonic()
        clock.wait(before)
        killed = time.monotonic()
        measured = {"service": pipeline.service, "collector": pipeline.collector}
        memory = {name: one.resident_bytes() / _MIB for name, one in measured.items()}
        server.kill()
        clock.wait(away)
        grown = {name: one.resident_bytes() / _MIB for name, one in measured.items() if one is not server}
        server.start()
        back = time.monotonic()  # the outage lasts until the server is ready
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
    """Returns how many of the calls' traces do not reach Jaeger within ``timeout`` seconds."""
    wanted = {outcome.trace_id for outcome in outcomes}
    missing = set(wanted)

    def arrived() -> bool:
        missing.intersection_update(wanted - {span.trace_id for span in pipeline.spans("a2a.request")})
        return not missing

    with suppress(ServerError):  # the traces that are still missing are counted
        until("the traces", arrived, timeout=timeout)
    return len(missing)
