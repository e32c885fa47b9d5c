"""Input series of a histogram for the unit tests of the rules, in each form in which Prometheus may store it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

from dashboards.alerting.alert import Case, series
from telemetry.metric import Metric

__all__ = ["Form", "Stretch", "Write", "in_each_form", "observed", "written"]


class Form(StrEnum):
    """How Prometheus stores a histogram."""

    CLASSIC = "classic"
    NATIVE = "native"
    CUSTOM = "native with custom buckets"
    """From ``convert_classic_histograms_to_nhcb`` of Prometheus' scrape configuration."""
    BOTH = "classic and native"
    CHANGED = "native after classic"
    """The configuration of Prometheus changes in the middle of the test."""
    MIXED = "one instance classic, one native"
    """The first observes what is at most the bound, the second what is above it."""


Stretch: TypeAlias = tuple[int, int, int]
"""Observations per step of at most the bound, those above it, and the number of steps."""

Write: TypeAlias = Callable[[int, int], str]
"""Observations of at most the bound and above it -> the value of a sample."""


def observed(
    form: Form,
    metric: Metric,
    bound: float | tuple[float, float],
    *stretches: Stretch,
    start: tuple[int, int] = (0, 0),
    **labels: str,
) -> dict[str, str]:
    """Returns the values of a histogram's series, as promtool writes them, by the series' names.

    Args:
        form: How Prometheus stores the histogram.
        metric: The row of the catalogue.
        bound: The bucket bound below and above which the observations lie, none in the exponential bucket that holds it. With
            twice the bound as a second one, those above lie in the bucket between; else in the last one, above all quantiles.
        stretches: What is observed after the first sample, one stretch after the other.
        start: The observations before the first sample, of at most the bound and above it.
        labels: The metric's labels.
    """
    bound, *top = bound if isinstance(bound, tuple) else (bound,)
    classic: dict[str, Write] = {series(metric, "bucket", le=str(float(bound)), **labels): lambda below, _: str(below)}
    whole = [series(metric, "bucket", le=le, **labels) for le in (*(str(float(one)) for one in top), "+Inf")]
    for name in (*whole, series(metric, "count", **labels)):
        classic[name] = lambda below, above: str(below + above)
    native = {series(metric, **labels): _custom(bound, *top) if form is Form.CUSTOM else _exponential(bound)}
    match form:
        case Form.CLASSIC:
            return written(classic, start, stretches)
        case Form.NATIVE | Form.CUSTOM:
            return written(native, start, stretches)
        case Form.BOTH:
            return written(classic | native, start, stretches)
        case Form.CHANGED:
            return _changed(classic, native, start, stretches)
        case Form.MIXED:
            other = {name.replace('instance="agentos:', 'instance="other:'): write for name, write in native.items()}
            first = written(classic, (start[0], 0), [(below, 0, steps) for below, _, steps in stretches])
            return first | written(other, (0, start[1]), [(0, above, steps) for _, above, steps in stretches])


def in_each_form(
    what: str, given: Callable[[Form], Mapping[str, str]], at: int, fires: Mapping[str, str] | None = None, value: str = ""
) -> Iterator[Case]:
    """Yields a case for each form of its histogram."""
    for form in Form:
        yield Case(f"{what} ({form})", given(form), at, fires, value)


def _exponential(bound: float) -> Write:
    """The schema whose bounds are the powers of two; the bucket that holds the bound stays empty."""
    first = math.ceil(math.log2(bound)) - 1
    return lambda below, above: f"{{{{schema:0 count:{below + above} offset:{first} buckets:[{below} 0 {above}]}}}}"


def _custom(*bounds: float) -> Write:
    values = " ".join(f"{bound:g}" for bound in bounds)
    return lambda below, above: f"{{{{schema:-53 count:{below + above} custom_values:[{values}] buckets:[{below} {above}]}}}}"


def _changed(
    classic: dict[str, Write], native: dict[str, Write], start: tuple[int, int], stretches: Sequence[Stretch]
) -> dict[str, str]:
    """The classic series end in the middle, and the native ones begin at the same step."""
    middle = sum(steps for *_, steps in stretches) // 2
    before, after = list(_cut(stretches, 0, middle - 1)), list(_cut(stretches, middle, math.inf))
    below, above = (start[part] + sum(one[part] * one[2] for one in _cut(stretches, 0, middle)) for part in (0, 1))
    ended = {name: f"{values} stale" for name, values in written(classic, start, before).items()}
    return ended | {name: f"_x{middle} {values}" for name, values in written(native, (below, above), after).items()}


def _cut(stretches: Sequence[Stretch], start: float, end: float) -> Iterator[Stretch]:
    """The steps from ``start`` on, before ``end``."""
    passed = 0
    for below, above, steps in stretches:
        left = min(end, passed + steps) - max(start, passed)
        passed += steps
        if left > 0:
            yield below, above, int(left)


def written(names: Mapping[str, Write], start: tuple[int, int], stretches: Sequence[Stretch]) -> dict[str, str]:
    """Returns the values of each series, as promtool writes them.

    Args:
        names: Name of a series -> how it shows the number of events of two kinds.
        start: The events of each kind before the first sample.
        stretches: What happens after the first sample: events of each kind per step, and the number of steps.
    """
    return {name: " ".join(_values(write, start, stretches)) for name, write in names.items()}


def _values(write: Write, start: tuple[int, int], stretches: Sequence[Stretch]) -> Iterator[str]:
    below, above = start
    yield write(below, above)
    for more_below, more_above, steps in stretches:
        yield f"{write(below + more_below, above + more_above)}+{write(more_below, more_above)}x{steps - 1}"
        below, above = below + more_below * steps, above + more_above * steps
