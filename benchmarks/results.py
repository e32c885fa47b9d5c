"""What a run of the benchmarks found, as a file of JSON: the rows, the machine, the versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median, median_low
from typing import Any, Self

from benchmarks.measure import Row

__all__ = ["COMMITTED", "LATEST", "PACKAGES", "ROOT", "Place", "Results", "files", "merged", "newest_two"]

ROOT = Path(__file__).resolve().parent.parent
LATEST = ROOT / ".benchmarks"
"""Where each run leaves its file; git ignores it."""
COMMITTED = ROOT / "benchmarks/results"
PACKAGES = (
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-exporter-prometheus",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-fastapi",
    "prometheus_client",
    "fastapi",
    "starlette",
)


@dataclass(frozen=True, order=True)
class Place:
    """What identifies a row from one run to the next."""

    benchmark: str
    table: str
    what: str
    peer: str


@dataclass(frozen=True)
class Results:
    """A run, or the medians of several.

    Args:
        date: When it began, as ISO 8601 in UTC.
        commit: The commit that was measured; a plus stands for changes that were not committed.
        runs: How many runs it was.
        machine: CPU model, cores, kernel and interpreter.
        versions: The versions of the packages that were measured.
        rows: The rows by their places, in the order of the tables.
    """

    date: str
    commit: str
    runs: int
    machine: dict[str, str]
    versions: dict[str, str]
    rows: dict[Place, Row]

    @classmethod
    def now(cls, runs: Sequence[dict[Place, Row]], began: datetime) -> Self:
        """Makes the results of these runs on this machine."""
        date = began.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return cls(date, _commit(), len(runs), _machine(), _packages(), merged(runs))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Reads the file that ``write`` has written."""
        found: dict[str, Any] = json.loads(file.read_text())
        rows = {}
        for each in found.pop("rows"):
            place = Place(each.pop("benchmark"), each.pop("table"), each["what"], each["peer"])
            rows[place] = Row(**each)
        return cls(**found, rows=rows)

    def write(self, folder: Path) -> Path:
        """Writes a file, whose name is the date, so that names sort by age.

        Returns:
            The file's path.
        """
        content = {key: value for key, value in vars(self).items() if key != "rows"}
        content["rows"] = [
            {"benchmark": place.benchmark, "table": place.table, **_rounded(row)} for place, row in self.rows.items()
        ]
        folder.mkdir(exist_ok=True)
        file = folder / f"{self.date.replace(':', '-')}.json"
        file.write_text(json.dumps(content, indent=1) + "\n")
        return file


def files(folder: Path) -> list[Path]:
    """Returns the files of results in a folder, the newest last."""
    return sorted(folder.glob("*.json"))


def newest_two(folder: Path) -> tuple[Results | None, Results]:
    """Returns the newest results of a folder, after those before them.

    Raises:
        FileNotFoundError: The folder has none.
    """
    found = files(folder)[-2:]
    if not found:
        raise FileNotFoundError(f"no results in {folder}")
    before = Results.read(found[0]) if len(found) == 2 else None
    return before, Results.read(found[-1])


def merged(runs: Sequence[dict[Place, Row]]) -> dict[Place, Row]:
    """Returns one row for each place: the median of the runs, with the lowest and the highest as its scatter.

    A single run keeps the scatter of its rounds.
    """
    if len(runs) == 1:
        return runs[0]
    out = {}
    for place in dict.fromkeys(place for run in runs for place in run):
        found = [run[place] for run in runs if place in run]
        ratios = [row.ratio for row in found]
        middle = next(row for row in found if row.ratio == median_low(ratios))
        calls = [row.ours for row in found if row.ours is not None]
        numbers = {"ratio": median(ratios), "low": min(ratios), "high": max(ratios), "ours": median(calls) if calls else None}
        out[place] = Row(**{**asdict(middle), **numbers})
    return out


def _machine() -> dict[str, str]:
    """Returns CPU model, cores, kernel and interpreter."""
    return {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _packages() -> dict[str, str]:
    """Returns the versions of the packages that the rows depend on."""
    return {name: version(name) for name in PACKAGES}


def _rounded(row: Row) -> dict[str, object]:
    """Returns the row with five digits of each number: more is noise."""
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in asdict(row).items()}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty=+"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
