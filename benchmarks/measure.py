"""Ratios that hold on a noisy machine: both sides take turns, and the row has the median of the rounds' ratios.

Time is this process' time on the processor, which other processes cannot stretch. Where the question is how threads wait for
each other, it is elapsed time.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from time import process_time
from typing import Self

__all__ = ["RATIO", "ROWS_FILE", "Row", "compare", "in_turns", "line", "one_core", "report", "show"]

RATIO = "ratio"
ROWS_FILE = "BENCHMARK_ROWS"
"""Environment variable with the path of a file that gets each printed row, as a line of JSON."""


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Args:
        what: What was measured.
        peer: What it is compared with.
        ratio: Ours divided by the peer's; in a row of another unit the number itself.
        goal: The highest good ratio, if there is a goal.
        detail: What the two sides took, in words.
        low: Lower end of the scatter: the first quartile of the rounds, or the lowest of several runs.
        high: Upper end of the scatter.
        unit: ``ratio``, or the unit of a row that has no peer.
        ours: What one call of ours took, in seconds, where that was measured.
    """

    what: str
    peer: str
    ratio: float
    goal: float | None
    detail: str = ""
    low: float | None = None
    high: float | None = None
    unit: str = RATIO
    ours: float | None = None

    @classmethod
    def of_rounds(
        cls,
        what: str,
        peer: str,
        rounds: Sequence[float],
        goal: float | None,
        detail: str = "",
        *,
        unit: str = RATIO,
        ours: float | None = None,
    ) -> Self:
        """Makes the row of several rounds: the median of their ratios, with the quartiles as its scatter."""
        low, _, high = quantiles(rounds, n=4, method="inclusive") if len(rounds) > 1 else [*rounds] * 3
        return cls(what, peer, median(rounds), goal, detail, low, high, unit, ours)


@contextmanager
def one_core() -> Iterator[None]:
    """Stays on one core while measuring, where the system allows it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _seconds(function: Callable[[], object], number: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(number):
        function()
    return clock() - start


def in_turns(
    stages: Mapping[str, Callable[[], object]],
    *,
    number: int = 1,
    rounds: int,
    clock: Callable[[], float] = process_time,
    between: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Returns the seconds that ``number`` calls of each stage take in each round, all stages in turn.

    ``between`` is called before each round and is not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for function in stages.values():
        _seconds(function, number // 10 + 1, clock)
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            if between is not None:
                between()
            for name, function in stages.items():
                seconds[name].append(_seconds(function, number, clock))
    finally:
        gc.enable()
    return seconds


def compare(
    what: str,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object],
    goal: float | None,
    *,
    number: int = 10_000,
    rounds: int = 11,
    clock: Callable[[], float] = process_time,
    between: Callable[[], object] | None = None,
) -> Row:
    """Times ``number`` calls of each side in turn, ``rounds`` times; the row has the median of the ratios.

    ``between`` is called before each round and is not timed.
    """
    sides = in_turns({"ours": ours, "theirs": theirs}, number=number, rounds=rounds, clock=clock, between=between)
    ratios = [a / b for a, b in zip(*sides.values(), strict=True)]
    mine, others = ([seconds / number for seconds in side] for side in sides.values())
    detail = f"{_time(median(mine))} / {_time(median(others))}"
    return Row.of_rounds(what, peer, ratios, goal, detail, ours=median(mine))


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def line(row: Row) -> str:
    """Returns the row as a line of the printed table."""
    if row.unit != RATIO:
        number, spread = f"{row.ratio:7.0f} {row.unit}", _spread(row, 0)
    else:
        number, spread = f"{row.ratio:7.3f}", _spread(row, 3)
    against = f"vs {row.peer}" if row.peer else ""
    goal = "" if row.goal is None else f"goal {row.goal:<5g} {'ok' if row.ratio <= row.goal else 'MISSED'}"
    return f"  {row.what:<62} {against:<45} {number}  {spread:<13}  {goal:<17} {row.detail}".rstrip()


def _spread(row: Row, digits: int) -> str:
    return "" if row.low is None or row.high is None else f"{row.low:.{digits}f}-{row.high:.{digits}f}"


def report(rows: Iterable[Row], table: str = "") -> None:
    """Prints each row as soon as it is known, and adds it to the file that ``ROWS_FILE`` names.

    Args:
        rows: The rows.
        table: The title of the table that they belong to.
    """
    file = os.environ.get(ROWS_FILE)
    for row in rows:
        print(line(row), flush=True)
        if file:
            with Path(file).open("a") as lines:
                lines.write(json.dumps({"table": table, **asdict(row)}) + "\n")


def show(title: str, rows: Iterable[Row]) -> None:
    """Prints a table, each row as soon as it is known."""
    print(f"\n{title}", flush=True)
    report(rows, title)
