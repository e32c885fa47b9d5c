"""``make stack``: service, Collector, Prometheus and Jaeger on this machine, with a live check of the pipeline."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import httpx
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from stack.load import traffic
from stack.pipeline_checks import PUSHED, SCRAPED, Pipeline, running_pipeline
from stack.servers.binaries import BinaryMissingError
from stack.servers.process import ServerError

BOUNDED_SECONDS = 20.0
CHECK_SECONDS = 2.0
SETTINGS = {"AGENTOS_RATE_LIMIT": "off", "AGENTOS_AGENT_METRICS": "on"}


def main() -> int:
    """Runs until Ctrl-C, or for 20 seconds with CI=true or without a terminal.

    Returns:
        0 if the last check found every call everywhere, else 1.
    """
    arguments = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    arguments.add_argument("--seconds", type=float, help="end after this many seconds (default: with Ctrl-C)")
    seconds: float | None = arguments.parse_args().seconds
    if seconds is None and (os.environ.get("CI") == "true" or not sys.stdout.isatty()):
        seconds = BOUNDED_SECONDS
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    console = Console()
    with tempfile.TemporaryDirectory(prefix="agentos-stack-") as folder:
        try:
            console.print("starting Jaeger, Prometheus, the Collector and the service ...")
            with running_pipeline(Path(folder), SETTINGS) as pipeline:
                well = _watch(pipeline, console, stop, seconds)
        except (BinaryMissingError, ServerError) as error:
            console.print(f"the stack could not go on: {error}", style="red")
            return 1
    console.print("all stopped")
    return 0 if well else 1


def _watch(pipeline: Pipeline, console: Console, stop: Event, seconds: float | None) -> bool:
    """Shows the addresses and each check until the end; returns whether the last check was good."""
    ends = None if seconds is None else time.monotonic() + seconds
    addresses = _addresses(pipeline)
    hops: list[tuple[str, str, bool]] = []
    if ends is None:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for hops in _checks(pipeline, stop, ends):
                live.update(Group(addresses, _table(hops), "Ctrl-C stops all of them"), refresh=True)
    else:
        console.print(addresses)
        for checked in _checks(pipeline, stop, ends):
            hops = checked
    console.print(_table(hops))
    return bool(hops) and all(good for _, _, good in hops)


def _checks(pipeline: Pipeline, stop: Event, ends: float | None) -> Iterator[list[tuple[str, str, bool]]]:
    """Calls the service every two seconds, at least once, and yields what each server shows of the calls."""
    made: list[traffic.Outcome] = []
    calls = itertools.cycle(traffic.mixed(1_000))
    while not stop.is_set():
        made += traffic.make(pipeline.service.url, [next(calls)])
        stop.wait(CHECK_SECONDS)
        yield _look(pipeline, made)
        if ends is not None and time.monotonic() >= ends:
            return


def _look(pipeline: Pipeline, made: list[traffic.Outcome]) -> list[tuple[str, str, bool]]:
    failed = sum(outcome.status != "success" for outcome in made)
    hops = [("service", f"{len(made)} calls, {failed} failed", failed == 0)]
    try:
        for name, job in (("scraped by Prometheus", SCRAPED), ("pushed through the Collector", PUSHED)):
            count = pipeline.prometheus.value(f'sum(a2a_requests_total{{job="{job}"}})') or 0
            hops.append((name, f"{count:.0f} calls under job {job}", count > 0))
        known = {span.trace_id for span in pipeline.spans("a2a.request")}
        found = sum(outcome.trace_id in known for outcome in made)
        hops.append(("traces in Jaeger", f"{found} of {len(made)}", found > 0))
        up = pipeline.prometheus.health("otel-collector")
        hops.append(("the Collector's own metrics", up, up == "up"))
    except httpx.HTTPError as error:
        hops.append(("a server did not answer", repr(error), False))
    return hops


def _addresses(pipeline: Pipeline) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("service", f"{pipeline.service.url}/agents")
    table.add_row("metrics", f"{pipeline.service.url}/metrics")
    table.add_row("Prometheus", pipeline.prometheus.url)
    table.add_row("Jaeger's API", f"{pipeline.jaeger.url}/api/traces?service=agentos")
    table.add_row("OTLP (grpc, http)", f"127.0.0.1:{pipeline.collector.grpc}, 127.0.0.1:{pipeline.collector.http}")
    table.add_row("StatsD", f"127.0.0.1:{pipeline.collector.statsd}/udp")
    return table


def _table(hops: list[tuple[str, str, bool]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, what, good in hops:
        table.add_row("[green]ok[/]" if good else "[red]no[/]", name, what)
    return table


if __name__ == "__main__":
    raise SystemExit(main())
