"""A platform without file locks, Unix sockets and forks: everything but several workers works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
NEEDED = "several workers behind one /metrics need file locks and Unix sockets and user ids, which this platform does not have"
SERVED = """
from telemetry import Telemetry
from tests.helpers.workers import HITS, catalogue
telemetry = Telemetry(catalogue())
telemetry[HITS].labels("x").inc(3)
print([line for line in telemetry.reader.expose().body.decode().splitlines() if line.startswith("hits_total")])
"""
ASKED = """
from pathlib import Path
from telemetry.prefork import StateDirectoryError, Workers
print(Workers.detect())
for directory in (None, Path("state")):
    try:
        Workers(directory)
    except StateDirectoryError as error:
        print(error)
"""
DETECTED = """
from multiprocessing import process
from telemetry import Telemetry
from telemetry.prefork import Workers
from tests.helpers.workers import HITS, catalogue
process._parent_process = process._ParentProcess("main", 1, 0)
telemetry = Telemetry(catalogue(), workers=Workers.detect())
telemetry[HITS].labels("x").inc(3)
print(telemetry.workers)
telemetry.shutdown()
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Runs the code on such a platform."""
    start = "from tests.helpers.platform_without import remove_unix\nremove_unix()\n"
    return subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, check=True, timeout=120, cwd=ROOT
    )


def test_one_process_is_measured_and_served() -> None:
    """Telemetry records and serves /metrics."""
    assert run(SERVED).stdout == "['hits_total{who=\"x\"} 3']\n"


def test_workers_say_what_they_need() -> None:
    """``Workers()`` raises one sentence; ``Workers.detect()`` returns None in a process that is alone."""
    assert run(ASKED).stdout.splitlines() == ["None", NEEDED, NEEDED]


def test_a_detected_worker_shows_its_own_numbers_and_says_so() -> None:
    """A process that was started as a worker goes on alone, with one line in the log."""
    done = run(DETECTED)
    assert (done.stdout, done.stderr) == ("None\n", f"this worker shows its own numbers alone: {NEEDED}\n")


def test_one_missing_part_is_named() -> None:
    """Where only file locks are missing, the sentence names them alone."""
    code = f"import sys\nsys.modules['fcntl'] = None\n{ASKED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, cwd=ROOT)
    said = NEEDED.replace(" and Unix sockets and user ids", "")
    assert done.stdout.splitlines() == ["None", said, said]
