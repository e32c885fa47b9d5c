"""``make bench-outage``: Collector, trace store and Prometheus stopped for a minute each, under a steady load."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from stack.load import traffic
from stack.load.outage import STEADY, VICTIMS, Result, lost_traces, outage
from stack.pipeline_checks import running_pipeline

ALLOWED = 1.2
"""Highest good ratio of the service's 99th percentile during an outage to the one before it."""


def main() -> int:
    """Prints the result of each outage; returns 1 if a caller saw an error, a trace was lost, or calls became too slow."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    arguments.add_argument("victims", nargs="*", help="which (default: each in turn)")
    arguments.add_argument("--seconds", type=float, default=60.0, help="how long each is away")
    given = arguments.parse_args()
    broken = 0
    for victim in given.victims or VICTIMS:
        with tempfile.TemporaryDirectory(prefix="outage-") as folder, running_pipeline(Path(folder), STEADY) as pipeline:
            result = outage(pipeline, victim, before=given.seconds, away=given.seconds, after=20)
            # Spans that wait for an absent Collector are bounded by the service's queue, and may be lost.
            kept = {"collector": result.after, "jaeger": [*result.during, *result.after]}.get(victim, result.outcomes)
            lost = lost_traces(pipeline, kept)
            broken |= _row(victim, given.seconds, result, len(kept), lost)
    return broken


def _row(victim: str, seconds: float, result: Result, kept: int, lost: int) -> int:
    errors = sum(outcome.status != "success" for outcome in result.outcomes)
    print(f"{victim} away for {seconds:.0f} s:")
    print(f"  {len(result.outcomes)} calls, {errors} errors seen by a caller")
    print(
        f"  p99 {1000 * traffic.p99(result.before):.1f} ms before, {1000 * traffic.p99(result.during):.1f} ms during"
        f" ({result.slower:.2f}x), {1000 * traffic.p99(result.after):.1f} ms after"
    )
    for name, (start, end) in result.resident_mib.items():
        print(f"  resident memory of the {name}: {start:.0f} MiB when it began, {end:.0f} MiB when it ended")
    print("  totals of the service, of the scrape and of the push agree afterwards, series by series")
    print(f"  {kept - lost} of {kept} traces that a running Collector was handed are in the trace store", flush=True)
    return int(errors > 0 or lost > 0 or result.slower > ALLOWED)


if __name__ == "__main__":
    raise SystemExit(main())
