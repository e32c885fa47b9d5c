"""Ratios that hold on a noisy machine: both sides take turns, and the row has the median of the rounds' ratios.

Time is this process' time on the processor, which other processes cannot stretch. Where the question is how threads wait for
each other, it is elapsed time.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import process_time

__all__ = ["Row", "compare", "one_core", "report", "show"]


@dataclass(frozen=True)
class Row:
    """A line of the table: the ratio of ours to the peer's, and the highest good ratio."""

    what: str
    peer: str
    ratio: float
    goal: float | None
    detail: str = ""


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
    _seconds(ours, number // 10 + 1, clock)
    _seconds(theirs, number // 10 + 1, clock)
    ratios, mine, others = [], [], []
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            if between is not None:
                between()
            a, b = _seconds(ours, number, clock), _seconds(theirs, number, clock)
            mine.append(a / number)
            others.append(b / number)
            ratios.append(a / b)
    finally:
        gc.enable()
    return Row(what, peer, median(ratios), goal, f"{_time(median(mine))} / {_time(median(others))}")


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def report(rows: Iterable[Row]) -> None:
    """Prints each row as soon as it is known."""
    for row in rows:
        goal = "" if row.goal is None else f"goal {row.goal:<5g} {'ok' if row.ratio <= row.goal else 'MISSED'}"
        print(f"  {row.what:<72} vs {row.peer:<36} {row.ratio:7.3f}  {goal:<17} {row.detail}", flush=True)


def show(title: str, rows: list[Row]) -> None:
    """Prints the rows as an aligned table."""
    print(f"\n{title}")
    what = max(len(row.what) for row in rows)
    peer = max(len(row.peer) for row in rows)
    for row in rows:
        goal = "" if row.goal is None else f"goal {row.goal:<5g}{'ok' if row.ratio <= row.goal else 'MISSED'}"
        print(f"  {row.what:<{what}}  vs {row.peer:<{peer}}  {row.ratio:7.3f}  {goal:<16}{row.detail}")
