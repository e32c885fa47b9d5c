"""Which rows of a run became slower than those of the run before, by more than their scatter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.measure import RATIO, Row
from benchmarks.results import Place, Results

__all__ = ["Comparison"]

_LEAST_SCATTER = 0.02
"""Share of a ratio: the rounds of one process agree better with each other than with another process."""


class Comparison:
    """Two results, row by row. Rows in another unit than ratios depend on the machine alone and are left out.

    Args:
        before: The earlier results.
        now: The later ones. A row of ``before`` is missing if ``now`` has rows of its benchmark.
    """

    def __init__(self, before: Results, now: Results) -> None:
        self.before, self.now = before, now
        earlier, later = _ratios(before), _ratios(now)
        ran = {place.benchmark for place in later}
        both = [place for place in later if place in earlier]
        self.slower = [place for place in both if _exceeds(later[place], earlier[place])]
        self.faster = [place for place in both if _exceeds(earlier[place], later[place])]
        self.alike = [place for place in both if place not in self.slower and place not in self.faster]
        self.missing = [place for place in earlier if place not in later and place.benchmark in ran]
        self.new = [place for place in later if place not in earlier]

    def lines(self) -> Iterator[str]:
        """Yields the report: what was compared, then the rows that changed."""
        for word, each in (("before", self.before), ("now", self.now)):
            yield f"{word + ':':<8}{each.date}, commit {each.commit}, {_runs(each.runs)}"
        yield from _differences("machine", self.before.machine, self.now.machine)
        yield from _differences("version", self.before.versions, self.now.versions)
        for word in ("slower", "faster"):
            yield from (self._changed(word, place) for place in getattr(self, word))
        yield from (f"missing {_title(place)}" for place in self.missing)
        yield from (f"new     {_title(place)}: {self.now.rows[place].ratio:.3f}" for place in self.new)
        counts = (f"{len(getattr(self, word))} {word}" for word in ("slower", "faster", "alike", "missing", "new"))
        yield ", ".join(counts)

    def _changed(self, word: str, place: Place) -> str:
        earlier, later = self.before.rows[place], self.now.rows[place]
        return f"{word:<8}{_title(place)}: {_number(earlier)} -> {_number(later)}"


def _ratios(results: Results) -> dict[Place, Row]:
    return {place: row for place, row in results.rows.items() if row.unit == RATIO}


def _exceeds(one: Row, other: Row) -> bool:
    return one.ratio - other.ratio > _scatter(one) + _scatter(other)


def _scatter(row: Row) -> float:
    least = _LEAST_SCATTER * row.ratio
    if row.low is None or row.high is None:
        return least
    return max(row.high - row.ratio, row.ratio - row.low, least)


def _number(row: Row) -> str:
    return f"{row.ratio:.3f} (+-{_scatter(row):.3f})"


def _title(place: Place) -> str:
    return f"{place.benchmark}: {place.table}: {place.what} vs {place.peer}"


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _differences(word: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key in dict.fromkeys((*before, *now)):
        one, other = before.get(key, "none"), now.get(key, "none")
        if one != other:
            yield f"another {word}: {key} {one} -> {other}"
