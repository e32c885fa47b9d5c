"""``make soak``: the service under load for ten minutes: memory, scrapes, tasks, threads, files and sockets."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from stack.load.soak import COUNTED, FULL, SETTINGS, Soaked, soak
from stack.servers.service import Service

READINGS = 60


def main() -> int:
    """Prints the growth; returns 1 if a call or scrape failed, memory grows, or something was left open."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=600.0)
    seconds: float = arguments.parse_args().seconds

    def tell(passed: float, reading: dict[str, int]) -> None:
        live = sys.stdout.isatty()
        print(
            f"  {passed:6.0f} of {seconds:.0f} s: {reading['resident'] / 2**20:.1f} MiB, {reading['blocks']:,} blocks, "
            + ", ".join(f"{reading[key]} {key}" for key in COUNTED),
            end="\r" if live else "\n",
            flush=True,
        )

    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        Service(Path(folder), SETTINGS, app="stack.instrumented_app:app") as service,
    ):
        print(f"  {FULL:,} calls first, until the service keeps all that it keeps on purpose ...", flush=True)
        return _report(soak(service, seconds, READINGS, tell))


def _report(soaked: Soaked) -> int:
    blocks, resident = soaked.growth("blocks"), soaked.growth("resident")
    print(
        f"\n{soaked.calls:,} calls, {soaked.broken} without an answer; "
        f"{soaked.scrapes:,} scrapes, {soaked.failed_scrapes} failed"
    )
    print(f"interpreter's blocks: {blocks[0]:+,.0f} by their trend (readings stray by {blocks[1]:,.0f})")
    print(f"resident memory: {resident[0] / 2**20:+.2f} MiB by its trend (readings stray by {resident[1] / 2**20:.2f})")
    print(f"blocks that a call left behind, from rest to rest: {soaked.blocks_a_call:.2f}")
    for key in COUNTED:
        print(f"{key}: {soaked.before[key]} before, {soaked.after[key]} after")
    failed = soaked.broken or soaked.failed_scrapes or soaked.left_behind or soaked.grows
    print("FAILED" if failed else "nothing grows, nothing is left behind")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
