"""A million distinct label values: series, memory and sums. ``python -m benchmarks.flood``"""

from __future__ import annotations

import sys
import tracemalloc
from time import perf_counter

from telemetry import AgentOSTelemetry

DISTINCT = 1_000_000


def main() -> None:
    """Records with a million distinct workspaces, agents and operations; prints the series, the sums and the memory."""
    telemetry = AgentOSTelemetry(known={"agent": ["navi"]})
    record, limit = telemetry.recorder.record_a2a_request, telemetry.recorder.record_rate_limit_hit
    for n in range(5_000):
        record(f"agent-{n}", f"operation-{n}", "success", 0.1)
        limit("/agents/{agent}/runs", "allowed", f"workspace-{n}")
    tracemalloc.start()
    before, start = tracemalloc.get_traced_memory()[0], perf_counter()
    for n in range(5_000, DISTINCT):
        record(f"agent-{n}", f"operation-{n}", "success", 0.1)
        limit("/agents/{agent}/runs", "allowed", f"workspace-{n}")
        if n % 100_000 == 0 and sys.stdout.isatty():
            print(f"  {n:>9,} ...", end="\r", flush=True)
    grown, seconds = tracemalloc.get_traced_memory()[0] - before, perf_counter() - start
    tracemalloc.stop()
    text = telemetry.reader.expose().body.decode().splitlines()
    print(f"\nA flood of labels: {DISTINCT:,} distinct workspaces, agents and operations ({seconds:.0f} s, memory traced)")
    for name in ("a2a_requests_total", "rate_limit_hits_total"):
        values = [float(line.rsplit(" ", 1)[1]) for line in text if line.startswith(f"{name}{{")]
        print(f"  {name:<24} {len(values):>7,} series   sum {sum(values):,.0f} (exact: {sum(values) == DISTINCT})")
    print(f"  memory grown by {grown / 1e6:.2f} MB (goal 10)")


if __name__ == "__main__":
    main()
