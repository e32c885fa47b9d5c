"""The reference of the metrics that this process records: which one counts or measures what."""

from __future__ import annotations

import re
from collections.abc import Iterable

from telemetry.metric import Metric

__all__ = ["MetricReference"]

_QUESTION_CHARACTERS = 10_000
_FOUND = 3
"""Metrics of an answer at most."""
_WORD = re.compile(r"[a-z0-9]+")
_COMMON = frozenset(
    re.findall(r"\w+", "a an and are as by for from how in is it its many of on or s that the to what which with")
)
"""Words of every question and help text, which say nothing about a metric."""


class MetricReference:
    """Finds metrics by the words of a question: in their names first, then in their help texts.

    Args:
        metrics: The rows of the catalogue.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._rows = [(metric, _words(metric.prometheus_name), _words(metric.help)) for metric in metrics]

    def find(self, question: str) -> str:
        """Returns a line for each of the three metrics that fit best, in the catalogue's order where they fit as well."""
        wanted = _words(question[:_QUESTION_CHARACTERS])
        scored = [(3 * len(wanted & name) + len(wanted & told), metric) for metric, name, told in self._rows]
        best = sorted((one for one in scored if one[0]), key=lambda one: -one[0])[:_FOUND]
        return "\n".join(_line(metric) for _, metric in best) or "no metric fits this question"


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower())) - _COMMON


def _line(metric: Metric) -> str:
    labels = f" by {', '.join(metric.keys)}" if metric.keys else ""
    return f"{metric.prometheus_name} ({metric.prometheus_type}{labels}): {metric.help}"
