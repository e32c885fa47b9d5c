"""``python -m benchmarks [name ...]``: every table, or the named ones. A benchmark of several minutes has its own command.

The rows are written to a file in ``.benchmarks``. ``--compare`` compares the newest such file with the newest one in
``benchmarks/results``; ``--keep`` copies it there and writes the tables of ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from benchmarks.comparison import Comparison
from benchmarks.measure import ROWS_FILE, Row, line
from benchmarks.page import PAGE, page
from benchmarks.results import COMMITTED, LATEST, Place, Results, files, newest_two

_HERE = Path(__file__).parent
_OWN_COMMAND = {"__main__", "outage", "malformed", "redis_outage", "scale", "soak"}


def main(arguments: Sequence[str]) -> int:
    """Runs the benchmarks, compares the newest run, or keeps it.

    Returns:
        0 if all is well, 1 if a benchmark failed or a row became slower, 2 for an unknown name or nothing to compare.
    """
    programs = sorted(path for path in _HERE.glob("*.py") if '__name__ == "__main__"' in path.read_text())
    tables = [path.stem for path in programs if path.stem not in _OWN_COMMAND]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Prints the tables of the benchmarks.")
    parser.add_argument("name", nargs="*", help=", ".join(tables))
    parser.add_argument("--runs", type=int, default=1, help="print the medians of so many runs")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--compare", action="store_true", help="say what became slower in the newest run")
    one.add_argument("--keep", action="store_true", help="copy the newest run to benchmarks/results")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.name if name not in tables]:
        parser.error(f"no such table: {', '.join(unknown)}; there are {', '.join(tables)}")
    if options.compare:
        return compare_newest(LATEST, COMMITTED)
    if options.keep:
        return keep(LATEST, COMMITTED)
    return run(options.name or tables, options.runs)


def run(names: Sequence[str], runs: int) -> int:
    """Runs each table in a new process, so that no table measures what another left behind, and writes the rows to a file."""
    began, start, failed = datetime.now(UTC), monotonic(), 0
    found: list[dict[Place, Row]] = []
    for number in range(1, runs + 1):
        rows: dict[Place, Row] = {}
        for index, name in enumerate(names, 1):
            minutes = (monotonic() - start) / 60
            print(f"== {name} ({index} of {len(names)}, run {number} of {runs}, {minutes:.0f} min so far)", flush=True)
            status, new = _table(name)
            failed |= status
            rows |= new
        found.append(rows)
    results = Results.now(found, began)
    if runs > 1:
        _show(results)
    print(f"\n{results.write(LATEST)}")
    return 1 if failed else 0


def _table(name: str) -> tuple[int, dict[Place, Row]]:
    """Runs one benchmark; returns its exit status and the rows that it has printed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows"
        file.touch()
        environment = {**os.environ, ROWS_FILE: str(file)}
        status = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False, env=environment).returncode
        rows = {}
        for each in map(json.loads, file.read_text().splitlines()):
            table, row = each.pop("table"), Row(**each)
            rows[Place(name, table, row.what, row.peer)] = row
    return status, rows


def _show(results: Results) -> None:
    """Prints the medians of several runs."""
    title = ""
    print(f"\nMedians of {results.runs} runs, lowest and highest")
    for place, row in results.rows.items():
        if title != place.table:
            title = place.table
            print(f"\n{title}")
        print(line(row))


def compare_newest(latest: Path, committed: Path) -> int:
    """Prints what changed between the newest committed results and the newest run."""
    before, now = files(committed), files(latest)
    if not before or not now:
        print(f"nothing to compare: {len(now)} runs in {latest}, {len(before)} in {committed}; make bench runs one")
        return 2
    comparison = Comparison(Results.read(before[-1]), Results.read(now[-1]))
    for text in comparison.lines():
        print(text)
    return 1 if comparison.slower else 0


def keep(latest: Path, committed: Path) -> int:
    """Copies the newest run to the committed results and writes the tables of the page."""
    found = files(latest)
    if not found:
        print(f"no run in {latest}; make bench runs one")
        return 2
    committed.mkdir(exist_ok=True)
    print(shutil.copy(found[-1], committed))
    PAGE.write_text(page(PAGE.read_text(), *newest_two(committed)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
