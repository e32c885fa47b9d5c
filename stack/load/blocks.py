"""Bytes that a sample takes on disk: a block of two hours that Prometheus' own tool writes of real expositions.

``python -m stack.load.blocks`` prints the figures of ``docs/scale.md``.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stack.load.instances import Instance
from stack.servers.binaries import binary
from stack.servers.prometheus import Block

__all__ = ["bytes_per_sample"]

_SCRAPES = 480
"""Two hours at 15 s: as much as Prometheus puts into a block."""
_INTERVAL = 15
_START = 7_200 * 236_111
"""Seconds since the epoch at which a block begins."""


def bytes_per_sample(events: int, *, late: int = 0, instances: int = 2) -> float:
    """Returns the bytes of a block's samples and index, for each sample.

    Args:
        events: A2A requests that an instance records between two scrapes.
        late: Milliseconds by which a scrape is late at most. Prometheus puts scrapes that are up to 2 ms late on time.
        instances: Number of instances.
    """
    with tempfile.TemporaryDirectory() as folder:
        text, blocks = Path(folder) / "samples.txt", Path(folder) / "blocks"
        with text.open("w") as written:
            for number in range(instances):
                written.writelines(_samples(number, events, late))
            written.write("# EOF\n")
        command: list[str | Path] = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", text, blocks]
        subprocess.run(command, check=True, capture_output=True)
        (block,) = (Block.read(meta.parent) for meta in blocks.glob("*/meta.json"))
    return (block.chunk_bytes + block.index_bytes) / block.samples


def _samples(number: int, events: int, late: int) -> Iterator[str]:
    """Yields the samples of an instance's scrapes, each with its time."""
    instance, delays = Instance(f"10.0.0.{number}:8000", number), random.Random(number)
    for scrape in range(_SCRAPES):
        instance.record(events)
        answer = instance.scrape("application/openmetrics-text; version=1.0.0")
        assert answer is not None
        at = _START + scrape * _INTERVAL + delays.randint(0, late) / 1000
        for line in answer.body.decode().splitlines():
            if not line.startswith("#"):
                series, value = line.split(" # ")[0].rsplit(" ", 1)
                labels = f'instance="{instance.name}",job="agentos"}}'
                series = f"{series[:-1]},{labels}" if series.endswith("}") else f"{series}{{{labels}"
                yield f"{series} {value} {at:.3f}\n"


def main() -> None:
    """Prints bytes a sample of idle and busy instances, scraped on time and late."""
    for what, events, late in (("idle", 0, 0), ("one request a second", 15, 0), ("one request a second, scraped late", 15, 5)):
        sys.stdout.write(f"{what}: {bytes_per_sample(events, late=late):.1f}\n")


if __name__ == "__main__":
    main()
