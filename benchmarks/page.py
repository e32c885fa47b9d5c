"""The tables of ``docs/performance.md``, from the committed results: ``python -m benchmarks --keep`` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.limits import FLOORS
from benchmarks.measure import RATIO, Row
from benchmarks.results import ROOT, Results

__all__ = ["PAGE", "page"]

PAGE = ROOT / "docs/performance.md"


def page(text: str, before: Results | None, now: Results) -> str:
    """Returns the page with new tables between its marks.

    Args:
        text: The page.
        before: The results of the column "before".
        now: The newest results.

    Raises:
        ValueError: A mark is missing.
    """
    tables: dict[str, Callable[[], Iterator[str]]] = {
        "machine": lambda: _machine(before, now),
        "rows": lambda: _rows(before, now),
        "shares": lambda: _shares(now),
        "limits": lambda: _limits(now),
        "floors": lambda: _floors(now),
    }
    for name, lines in tables.items():
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- {name}: end -->"
        if begin not in text or end not in text:
            raise ValueError(f"{PAGE.name} lacks the marks {begin.strip()} and {end}")
        head, _, rest = text.partition(begin)
        text = head + begin + "\n" + "".join(f"{line}\n" for line in lines()) + "\n" + end + rest.partition(end)[2]
    return text


def _machine(before: Results | None, now: Results) -> Iterator[str]:
    yield "| | before | now |"
    yield "|---|---|---|"
    yield f"| date | {before.date if before else '-'} | {now.date} |"
    yield f"| commit | {before.commit if before else '-'} | {now.commit} |"
    yield f"| runs | {before.runs if before else '-'} | {now.runs} |"
    for key in now.machine:
        yield f"| {key} | {before.machine.get(key, '-') if before else '-'} | {now.machine[key]} |"
    for key in now.versions:
        yield f"| {key} | {before.versions.get(key, '-') if before else '-'} | {now.versions[key]} |"


def _rows(before: Results | None, now: Results) -> Iterator[str]:
    title = ""
    for place, row in now.rows.items():
        if row.unit != RATIO or row.goal is None:
            continue
        if place.table != title:
            if title:
                yield ""
            title = place.table
            yield f"{title}:"
            yield ""
            yield "| what | against | before | now | goal |"
            yield "|---|---|---|---|---|"
        earlier = before.rows.get(place) if before else None
        missed = "" if row.ratio <= row.goal else ", missed"
        yield f"| {row.what} | {row.peer} | {_number(earlier)} | {_number(row)} | {row.goal:g}{missed} |"


def _number(row: Row | None) -> str:
    if row is None:
        return "-"
    scatter = "" if row.low is None or row.high is None else f" ({row.low:.3f} to {row.high:.3f})"
    return f"{row.ratio:.3f}{scatter}"


def _shares(now: Results) -> Iterator[str]:
    """Yields the rows of the tables that have no goal at all: they divide a whole into its parts."""
    judged = {place.table for place, row in now.rows.items() if row.goal is not None}
    yield "| part | of | share | takes |"
    yield "|---|---|---|---|"
    for place, row in now.rows.items():
        if row.unit == RATIO and place.table not in judged:
            yield f"| {row.what} | {row.peer} | {_number(row)} | {row.detail} |"


def _limits(now: Results) -> Iterator[str]:
    yield "| what | ns |"
    yield "|---|---|"
    for row in now.rows.values():
        if row.unit == "ns":
            yield f"| {row.what} | {row.ratio:,.0f} |"


def _floors(now: Results) -> Iterator[str]:
    yield "| what | ns | floor, ns | of these limits |"
    yield "|---|---|---|---|"
    floors = {row.what: row.ratio for row in now.rows.values() if row.unit == "ns"}
    seen = set()
    for place, row in now.rows.items():
        parts = FLOORS.get(place.what, ())
        if place.what in seen or row.ours is None or not parts or not all(part in floors for part in parts):
            continue
        seen.add(place.what)
        yield f"| {row.what} | {row.ours * 1e9:,.0f} | {sum(floors[part] for part in parts):,.0f} | {' + '.join(parts)} |"
