"""``python -m benchmarks [name ...]``: every table, or those named. What takes minutes has a command of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_NOT_HERE = {"__main__", "outage", "malformed", "redis_outage", "soak"}


def main(names: list[str]) -> int:
    """Runs each in a process of its own, so that none measures what another left behind."""
    programs = sorted(path for path in _HERE.glob("*.py") if '__name__ == "__main__"' in path.read_text())
    tables = [path.stem for path in programs if path.stem not in _NOT_HERE]
    unknown = [name for name in names if name not in tables]
    if unknown:
        print(f"no such table: {', '.join(unknown)}; there are {', '.join(tables)}")
        return 2
    failed = 0
    for name in names or tables:
        print(f"== {name}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
