"""``python -m benchmarks [name ...]``: every table, or the named ones. A benchmark of several minutes has its own command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_OWN_COMMAND = {"__main__", "outage", "malformed", "redis_outage", "soak"}


def main(names: list[str]) -> int:
    """Runs each table in a new process, so that no table measures what another left behind."""
    programs = sorted(path for path in _HERE.glob("*.py") if '__name__ == "__main__"' in path.read_text())
    tables = [path.stem for path in programs if path.stem not in _OWN_COMMAND]
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
