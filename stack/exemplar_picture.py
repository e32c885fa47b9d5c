"""Draws an exemplar and its trace, as Prometheus and Jaeger return them: ``python -m stack.exemplar_picture FILE.svg``.

The service takes mixed calls for half a minute, behind the real servers. On the left are the buckets of one agent's calls over
time with their exemplars, on the right the spans of the trace that the marked exemplar names.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from stack.load import traffic
from stack.pipeline_checks import SCRAPED, Pipeline, running_pipeline
from stack.servers.jaeger import Span
from stack.servers.process import until

__all__ = ["Cell", "Dot", "draw"]

SECONDS = 30
STEP = 2
"""Seconds that a column of the left side covers."""
SELECTOR = f'a2a_request_duration_seconds_bucket{{job="{SCRAPED}",agent="navi"}}'
SETTINGS = {
    "AGENTOS_PROVIDERS": '{"swift": {"latency": 0.06, "failure_rate": 0.3}, "steady": {"latency": 0.25}}',
    "AGENTOS_RATE_LIMIT": "off",
    "AGENTOS_BREAKER_FAILURES": "0",
    "AGENTOS_CACHE_TTL": "1",
}
_TOP, _ROW, _LEFT, _COLUMN, _WIDTH = 96, 26, 70, 28, 1180
_TRACE = 580
"""Where the right side begins, in pixels."""
_COLOURS = {"agentos": "#3d71d9", "navi": "#c4772b"}


@dataclass(frozen=True, slots=True)
class Cell:
    """Number of calls in one bucket and column."""

    column: int
    bound: float
    calls: float


@dataclass(frozen=True, slots=True)
class Dot:
    """One exemplar: when (in columns), its value in seconds, and its trace."""

    column: float
    seconds: float
    trace_id: str


def main() -> None:
    """Makes the calls, asks both servers, and writes the file that the command line names."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, running_pipeline(Path(folder), SETTINGS) as pipeline:
        begin = time.time()
        calls = iter(itertools.cycle(traffic.mixed(1_000)))
        while time.time() < begin + SECONDS:
            traffic.make(pipeline.service.url, itertools.islice(calls, 8))
        dots = _dots(pipeline, begin)
        spans = until("a trace of an exemplar with a model call", lambda: _longest_trace(pipeline, dots))
        target.write_text(draw(_cells(pipeline, begin), dots, spans))


def _dots(pipeline: Pipeline, begin: float) -> list[Dot]:
    found = pipeline.prometheus.exemplars(SELECTOR, begin, begin + SECONDS)
    exemplars = [exemplar for series in found for exemplar in series["exemplars"]]
    return [
        Dot((float(each["timestamp"]) - begin) / STEP, float(each["value"]), each["labels"]["trace_id"]) for each in exemplars
    ]


def _longest_trace(pipeline: Pipeline, dots: Sequence[Dot]) -> list[Span]:
    """Returns the complete trace of the exemplar in the middle half whose call took longest."""
    for dot in sorted(dots, key=lambda dot: -dot.seconds):
        spans = pipeline.jaeger.trace(dot.trace_id)
        if SECONDS / STEP / 4 < dot.column < SECONDS / STEP * 3 / 4 and len(spans) > 5 and _is_complete(spans):
            return sorted(spans, key=lambda span: span.start)
    return []


def _is_complete(spans: Sequence[Span]) -> bool:
    known = {span.span_id for span in spans}
    return sum(span.parent_id not in known for span in spans) == 1


def _cells(pipeline: Pipeline, begin: float) -> list[Cell]:
    data = pipeline.prometheus.get(
        "query_range",
        query=f"sum by (le) (increase({SELECTOR}[{STEP}s]))",
        start=str(begin + STEP),
        end=str(begin + SECONDS),
        step=str(STEP),
    )
    below: dict[int, float] = {}
    cells = []
    for series in sorted(data["result"], key=lambda series: float(series["metric"]["le"])):
        for at, value in series["values"]:
            column = round((float(at) - begin) / STEP) - 1
            calls = float(value) - below.get(column, 0)
            below[column] = float(value)
            cells.append(Cell(column, float(series["metric"]["le"]), calls))
    return cells


def draw(cells: Sequence[Cell], dots: Sequence[Dot], spans: Sequence[Span]) -> str:
    """Returns the picture as SVG.

    Args:
        cells: The buckets over time.
        dots: The exemplars.
        spans: The spans of the marked exemplar's trace, in order of their start.
    """
    marked = next(dot for dot in dots if dot.trace_id == spans[0].trace_id)
    used = [cell.bound for cell in cells if cell.calls > 0.01]
    bounds = sorted({cell.bound for cell in cells if min(used) <= cell.bound <= max(used)})
    below = max((cell.bound for cell in cells if cell.bound < bounds[0]), default=0.0)
    edges = [below, *bounds]
    bottom = _TOP + max(len(bounds), len(spans), 8) * _ROW
    parts = [
        _text(20, 34, "a2a_request_duration_seconds, agent navi", size=17, weight=600),
        _text(20, 56, f"Prometheus: calls for each {STEP} s and bucket, with the exemplars"),
        _text(_TRACE, 34, f"trace {marked.trace_id}", size=17, weight=600),
        _text(_TRACE, 56, f"Jaeger: the trace that the marked exemplar of {marked.seconds * 1000:.0f} ms names"),
        *_heat(cells, edges, bottom),
        *_points(dots, marked, edges, bottom),
        *_waterfall(spans),
    ]
    height = bottom + 44
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="Helvetica, Arial, sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _heat(cells: Sequence[Cell], edges: Sequence[float], bottom: int) -> list[str]:
    most = max(cell.calls for cell in cells)
    parts = [_text(_LEFT - 8, _y(edge, edges, bottom) + 4, f"{edge:g} s", anchor="end", fill="#555555") for edge in edges]
    for cell in cells:
        if cell.calls > 0.01 and cell.bound in edges:
            top = _y(cell.bound, edges, bottom)
            lower = _y(edges[edges.index(cell.bound) - 1], edges, bottom)
            shade = 0.12 + 0.7 * cell.calls / most
            parts.append(
                f'<rect x="{_LEFT + cell.column * _COLUMN + 1}" y="{top + 1:.1f}" width="{_COLUMN - 2}" '
                f'height="{lower - top - 2:.1f}" fill="#3d71d9" opacity="{shade:.2f}"/>'
            )
    for second in range(0, SECONDS + 1, 10):
        parts.append(_text(_LEFT + second / STEP * _COLUMN, bottom + 22, f"{second} s", anchor="middle", fill="#555555"))
    return parts


def _points(dots: Sequence[Dot], marked: Dot, edges: Sequence[float], bottom: int) -> list[str]:
    parts = []
    for dot in dots:
        x, y = _LEFT + dot.column * _COLUMN, _y(dot.seconds, edges, bottom)
        if dot is not marked:
            parts.append(f'<path d="M{x:.1f} {y - 4:.1f}l4 4l-4 4l-4 -4z" fill="#ffffff" stroke="#2b7a4b"/>')
    x, y = _LEFT + marked.column * _COLUMN, _y(marked.seconds, edges, bottom)
    first = _TOP + _ROW / 2
    parts += [
        f'<path d="M{x:.1f} {y:.1f}C{_TRACE - 120} {y:.1f} {_TRACE - 120} {first} {_TRACE - 8} {first}" fill="none" '
        'stroke="#d1323c" stroke-width="1.5" stroke-dasharray="5 3"/>',
        f'<path d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z" fill="#d1323c" stroke="#ffffff"/>',
    ]
    return parts


def _waterfall(spans: Sequence[Span]) -> list[str]:
    start, total = spans[0].start, max(span.start + span.seconds for span in spans) - spans[0].start
    bars = _TRACE + 290
    scale = (_WIDTH - 80 - bars) / total
    depth: dict[str | None, int] = {None: -1}
    parts = []
    for number, span in enumerate(spans):
        level = depth[span.span_id] = depth.get(span.parent_id, -1) + 1
        y = _TOP + number * _ROW
        x, width = bars + (span.start - start) * scale, max(2.0, span.seconds * scale)
        colour = "#d1323c" if span.tags.get("error") else _COLOURS.get(span.service, "#6c6c6c")
        parts += [
            f'<rect x="{_TRACE - 4}" y="{y}" width="{_WIDTH - _TRACE - 12}" height="{_ROW}" '
            f'fill="{"#f4f5f7" if number % 2 == 0 else "#ffffff"}"/>',
            _text(_TRACE + level * 14, y + 17, span.name[:42]),
            f'<rect x="{x:.1f}" y="{y + 6}" width="{width:.1f}" height="{_ROW - 12}" rx="2" fill="{colour}"/>',
            _text(min(x + width + 5, _WIDTH - 62), y + 17, f"{span.seconds * 1000:.1f} ms", fill="#555555"),
        ]
    return parts


def _y(seconds: float, edges: Sequence[float], bottom: int) -> float:
    """Returns the height of a value: each bucket has a row of the same height, linear inside."""
    row = (bottom - _TOP) / (len(edges) - 1)
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        if seconds <= high:
            return bottom - row * (number + max(0.0, seconds - low) / (high - low))
    return float(_TOP)


def _text(
    x: float, y: float, text: str, *, size: int = 13, weight: int = 400, anchor: str = "start", fill: str = "#222222"
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


if __name__ == "__main__":
    main()
