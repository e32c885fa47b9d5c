"""Runs Grafana's own code on a dashboard: Node runs ``tests/stack/grafana``, the user's cache holds its packages."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stack.servers.binaries import BinaryMissingError

__all__ = ["judge"]

_SOURCES = Path(__file__).parents[2] / "tests/stack/grafana"
_PINS = ("package.json", "package-lock.json")


def judge(
    dashboard: Any, datasources: Any, prometheus: str, start: float, end: float, values: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Returns what Grafana shows: the variables' options, and each panel's series, exemplar links and queries.

    Args:
        dashboard: The dashboard's JSON model.
        datasources: The provisioned data sources.
        prometheus: Address of the Prometheus that answers the queries.
        start: Start of the time range, in seconds since the epoch.
        end: End of the time range.
        values: The chosen values of each variable.

    Raises:
        BinaryMissingError: If npm is missing or the packages cannot be installed.
    """
    question = {
        "dashboard": dashboard,
        "datasources": datasources,
        "prometheus": prometheus,
        "from": round(start * 1000),
        "to": round(end * 1000),
        "values": values,
    }
    command = ["node", str(_installed() / "judge.cjs")]
    run = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, timeout=120, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr[-2000:])
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def _installed() -> Path:
    """Returns the folder of the packages, which are installed once per lock file; the sources beside them are always copied."""
    npm = shutil.which("npm")
    if npm is None:
        raise BinaryMissingError("Grafana's packages need Node 20 with npm: install Debian's nodejs and npm")
    digest = hashlib.sha256(b"".join((_SOURCES / pin).read_bytes() for pin in _PINS)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "agentos-telemetry" / f"grafana-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for source in (*_PINS, *(path.name for path in _SOURCES.glob("*.cjs"))):
            shutil.copy(_SOURCES / source, folder / source)
        if not (folder / "installed").exists():
            print(f"installing Grafana's packages: about 1 min, 700 MB, once for this lock, in {folder}", file=sys.__stderr__)
            # Its React is older than some of its packages ask for, as in Grafana itself.
            command = [npm, "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
            if run.returncode:
                raise BinaryMissingError(f"Grafana's packages could not be installed: {run.stderr[-500:]}")
            (folder / "installed").touch()
    return folder
