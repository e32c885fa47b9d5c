"""A program whose processes make each other in a given way; prints which runs they are in and what a scrape shows."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from telemetry import Telemetry
from telemetry.prefork import Workers
from tests.helpers.samples import above_zero
from tests.helpers.workers import HIT, HITS, catalogue

__all__ = ["family"]

ROOT = Path(__file__).parents[2]
STATE, METHOD, SHAPE = sys.argv[1:4] if len(sys.argv) > 3 else ("", "spawn", "")
_kept: list[Telemetry] = []


def family(state: Path, method: str, shape: str, python: str = sys.executable) -> Any:
    """Runs the program; returns what it prints.

    Args:
        state: The state directory.
        method: How ``multiprocessing`` starts processes.
        shape: The name of one of the functions below.
        python: The interpreter.
    """
    done = subprocess.run(
        [python, __file__, str(state), method, shape],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def join(count: int = 0) -> Telemetry:
    """Joins the run that this process belongs to, and records ``count`` hits."""
    _kept.append(Telemetry(catalogue(), workers=Workers(Path(STATE), save_every=3600.0)))
    _kept[-1][HITS].labels("x").inc(count)
    return _kept[-1]


def shown(telemetry: Telemetry) -> dict[str, Any]:
    """What a scrape shows, and the runs that there are."""
    assert telemetry.workers is not None
    runs = sorted(path.name for path in Path(STATE).iterdir())
    return {"hits": above_zero(telemetry)[HIT], "runs": len(runs), "own": telemetry.workers.folder.name in runs}


def work(count: int) -> str:
    """What a child does: it ends without shutting its telemetry down. Returns its run."""
    workers = join(count).workers
    assert workers is not None
    return workers.folder.name


def parent(depth: int) -> None:
    """A child that makes a child, and so on."""
    work(1)
    if depth:
        run(parent, depth - 1)


def run(function: Any, *args: Any) -> None:
    """Runs a function in a child."""
    context: Any = multiprocessing.get_context(METHOD)
    process = context.Process(target=function, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0


def children() -> Any:
    """Three children, one after the other."""
    telemetry = join(100)
    for _ in range(3):
        run(work, 5)
    return shown(telemetry)


def nested() -> Any:
    """A child of a child of a child."""
    telemetry = join(100)
    run(parent, 2)
    return shown(telemetry)


def nested_without() -> Any:
    """A child that has no telemetry makes one that has."""
    telemetry = join(100)
    run(run, work, 5)
    return shown(telemetry)


def before() -> Any:
    """A child (and the fork server) that starts before its parent's telemetry is made."""
    run(work, 5)
    return shown(join(100))


def pool() -> Any:
    """A pool of processes."""
    telemetry = join(100)
    with ProcessPoolExecutor(2, multiprocessing.get_context(METHOD)) as executor:
        runs = set(executor.map(work, [5, 5, 5, 5]))
    return {**shown(telemetry), "in": len(runs)}


def preloaded() -> Any:
    """The fork server makes telemetry itself, which its children inherit."""
    multiprocessing.set_forkserver_preload(["tests.helpers.preloaded_worker"])
    os.environ["PRELOADED_STATE"] = STATE
    telemetry = join(100)
    for _ in range(3):
        run(count_preloaded)
    return shown(telemetry)


def count_preloaded() -> None:
    """Records with the telemetry that the fork server has made."""
    from tests.helpers import preloaded_worker

    preloaded_worker.telemetry[HITS].labels("x").inc(5)


def program() -> Any:
    """A child starts another program, which has a run of its own."""
    telemetry = join(100)
    run(other_program)
    return shown(telemetry)


def other_program() -> None:
    """Joins, and starts the other program."""
    work(5)
    code = f"from pathlib import Path; from telemetry.prefork import Workers; print(Workers(Path({STATE!r})).folder.name)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def orphans() -> Any:
    """Two children outlive their parent; the second one makes its telemetry only then. They print whether they are together."""
    context: Any = multiprocessing.get_context(METHOD)
    ready, joined = context.Event(), context.Event()
    for function in (first_orphan, second_orphan):
        context.Process(target=function, args=(ready, joined)).start()
    ready.wait()
    os._exit(0)


def first_orphan(ready: Any, joined: Any) -> None:
    """Joins, and stays until the other one has joined."""
    Path(f"{STATE}-run").write_text(work(5))
    ready.set()
    joined.wait()


def second_orphan(ready: Any, joined: Any) -> None:
    """Joins after its parent's end."""
    above = multiprocessing.parent_process()
    assert above is not None
    above.join()
    print(json.dumps({"together": work(5) == Path(f"{STATE}-run").read_text()}), flush=True)
    joined.set()


if __name__ == "__main__":
    print(json.dumps(globals()[SHAPE]()))
