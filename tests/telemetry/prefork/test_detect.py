"""Workers of a program of one's own: detected, or told that they are not merged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from urllib.request import urlopen

import pytest

from telemetry import Telemetry
from telemetry.prefork import Workers
from telemetry.prefork.parent import parent_by_multiprocessing
from tests.helpers.workers import catalogue

ROOT = Path(__file__).parents[3]
WARNING = "this process was started as a worker"
APP = """
import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from telemetry import Telemetry
from telemetry.prefork import Workers
from telemetry.prefork.parent import parent_by_multiprocessing
from tests.helpers.workers import HITS, catalogue

telemetry = Telemetry(catalogue(), workers={workers})


async def hit(request):
    telemetry[HITS].labels("all").inc()
    return PlainTextResponse(str(os.getpid()))


async def metrics(request):
    return PlainTextResponse(telemetry.reader.expose().body.decode())


app = Starlette(routes=[Route("/hit", hit), Route("/metrics", metrics)])
"""
SERVERS = {
    "uvicorn": ["uvicorn", "own:app", "--workers", "2", "--port", "0"],
    "gunicorn": ["gunicorn", "own:app", "-k", "uvicorn_worker.UvicornWorker", "-w", "2", "-b", "127.0.0.1:0"],
}


@contextmanager
def serving(server: str, workers: str, folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Runs the program with two workers; yields its address, and a function that ends it and returns what it has logged."""
    (folder / "own.py").write_text(APP.format(workers=workers))
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVERS[server]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "XDG_RUNTIME_DIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    logged: list[str] = []
    address, ready = "", 0
    assert process.stderr is not None
    ready_line = "Application startup complete"

    def end() -> str:
        process.terminate()
        logged.append(process.communicate(timeout=60)[1])
        return "".join(logged)

    try:
        while ready < 2 and (line := process.stderr.readline()):
            logged.append(line)
            ready += ready_line in line
            if found := re.search(r"(?:running on|Listening at:) (http://[0-9.:]+)", line):
                address = found[1]
        assert ready == 2, "".join(logged)
        yield address, end
    finally:
        process.kill()
        process.wait()


def get(url: str) -> str:
    """Returns the body behind a new connection."""
    with urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body.decode()


@pytest.mark.parametrize("server", SERVERS)
def test_detected_workers_are_merged(server: str, tmp_path: Path) -> None:
    """With ``Workers.detect()`` any worker's /metrics has the hits of both, and nothing is logged about it."""
    with serving(server, "Workers.detect()", tmp_path) as (address, end):
        hits, answered_by = 0, set()
        while len(answered_by) < 2 and hits < 2000:
            answered_by.add(get(f"{address}/hit"))
            hits += 1
        shown = {line for _ in range(10) for line in get(f"{address}/metrics").splitlines() if line.startswith("hits_total")}
        logged = end()
    assert len(answered_by) == 2
    assert shown == {f'hits_total{{who="all"}} {hits}'}
    assert WARNING not in logged


@pytest.mark.parametrize("server", SERVERS)
def test_workers_that_are_not_merged_say_so(server: str, tmp_path: Path) -> None:
    """Without workers each of the two logs one line; with ``workers=False`` none does."""
    for workers, lines in (("None", 2), ("False", 0)):
        with serving(server, workers, tmp_path) as (address, end):
            get(f"{address}/hit")
            assert end().count(WARNING) == lines


def test_a_program_alone_has_no_workers(caplog: pytest.LogCaptureFixture) -> None:
    """A process that no other one started as a worker has none, and nothing is logged."""
    assert Workers.detect() is None
    Telemetry(catalogue(), workers=None).shutdown()
    assert caplog.messages == []


def test_a_thread_that_is_importing_multiprocessing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A telemetry may be made while another thread has just begun to import the package: no process has made this one by it."""
    monkeypatch.setitem(sys.modules, "multiprocessing.process", ModuleType("multiprocessing.process"))
    assert parent_by_multiprocessing() is None


def test_a_forked_child_says_that_it_is_not_merged() -> None:
    """A child that is forked after the telemetry was made logs the line, once; its parent does not."""
    script = (
        "import os; from telemetry import Telemetry; from tests.helpers.workers import catalogue\n"
        "kept = Telemetry(catalogue())\npid = os.fork()\npid and os.waitpid(pid, 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.count(WARNING) == 1
