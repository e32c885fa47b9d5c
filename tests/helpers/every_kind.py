"""One state with every kind of metric, for the golden files of all formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Translation
from telemetry.exposition.encoding import Style
from telemetry.exposition.families import Families, NamingConfig
from telemetry.exposition.negotiation import Choice
from telemetry.exposition.render import render
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, Snapshot, Stream, StreamKind

__all__ = ["body", "snapshot"]

_SCOPE = InstrumentationScope("shop")
_START = 1_520_430_000_123_456_789
_MEASURED = 1_520_879_607_789_000_001
_SECOND = 1_000_000_000


def _exemplar(number: int, value: float, **attributes: Any) -> ExemplarPoint:
    return ExemplarPoint(value, _MEASURED + number * _SECOND, 0xA0 + number, 0xB0 + number, attributes or None)


def _stream(
    name: str, unit: str, text: str, kind: StreamKind, states: Sequence[tuple[Mapping[str, Any], Any]], **more: Any
) -> Stream:
    starts: list[int | None] = [_START + position * _SECOND for position in range(len(states))]
    attributes, values = [attributes for attributes, _ in states], [state for _, state in states]
    return Stream(_SCOPE, name, text, unit, kind, attributes=attributes, starts=starts, values=values, **more)


def snapshot() -> Snapshot:
    """Returns counters, gauges, an info, classic and native histograms, and one of both forms.

    Among them are names and labels that need an escaping, series without labels and without a state, values beyond a float, and
    exemplars of which one is longer than OpenMetrics 1.0 allows.
    """
    return Snapshot(Resource({"service.name": "shop", "host.name": 'h"1'}), [*_numbers(), *_histograms()])


def _numbers() -> list[Stream]:
    requests = [
        ({"http.route": "/orders/{id}", "agent": 'na"v\\i\n'}, 7),
        ({"http.route": "", "agent": "ü😀\r"}, 0.5),
        ({"http.route": "without a state"}, None),
    ]
    exemplars = {0: [_exemplar(0, 1.0)], 1: [_exemplar(1, 0.5, user="u" * 100, shop="here")]}
    text = 'Requests, "all" of them\nand \\more'
    free = [({"n": n}, value) for n, value in enumerate((0.25, 10**400))]
    return [
        _stream("http.server.requests", "{request}", text, StreamKind.COUNTER, requests, exemplars=exemplars),
        _stream("cpu.time", "s", "", StreamKind.COUNTER, [({}, 1e22)]),
        _stream("queue.length", "", "Now", StreamKind.GAUGE, [({"le": "a", "a.b": 1, "a_b": True}, -3)]),
        _stream("disk.free", "1", "Free", StreamKind.GAUGE, free),
        _stream("build", "", "About", StreamKind.GAUGE, [({"version": "1.2"}, 1)]),
    ]


def _histograms() -> list[Stream]:
    # The same nine measurements, in both forms.
    native = ExponentialState(3, 12.5, 2, -3, [1, 0, 0, 0, 2, 3], 4, [1])
    classic = ([4, 2, 3], 12.5)
    coarse = ExponentialState(-5, 1.0, 1, 0, [1], 0, [])
    durations = [({"status": "ok"}, ([3, 0, 2], 4.75)), ({"status": "error"}, ([0, 0, 0], 0))]
    sizes = [({"status": "ok"}, native), ({"status": "error"}, ExponentialState(20, 0.0, 0, 0, (), 0, (), 0.001))]
    latencies = [({"provider": "openai"}, (*classic, native)), ({"provider": "coarse"}, ([1, 0, 1], 1.0, coarse))]
    of_buckets = {"exemplars": {0: [_exemplar(2, 0.05), None, _exemplar(3, 2.25)]}, "bounds": (0.1, 1)}
    of_any = {"exemplars": {0: [_exemplar(4, 1.25), None, _exemplar(5, 0.8)]}}
    of_both = {"exemplars": {0: [_exemplar(6, 0.8), _exemplar(7, 1.15), None]}, "bounds": (1, 1.2), "native": True}
    return [
        _stream("request.duration", "s", "Duration", StreamKind.HISTOGRAM, durations, **of_buckets),
        _stream("change", "By", "May be negative", StreamKind.HISTOGRAM, [({}, ([1, 1], -2.5))], bounds=(-1e6,)),
        _stream("response.size", "By", "Native buckets alone", StreamKind.EXPONENTIAL, sizes, **of_any),
        _stream("model.latency", "s", "Classic and native buckets", StreamKind.HISTOGRAM, latencies, **of_both),
    ]


def body(choice: Choice, translation: Translation = Translation.UTF8) -> bytes:
    """Returns the state's body as a scrape that negotiated ``choice`` gets it; OpenMetrics 1.0 has ``_created``."""
    naming = NamingConfig(scope_labels=False, info=("build",), translation=translation)
    families = Families(naming, Diagnostics(None), choice.escaping)
    return b"".join(render(families, snapshot(), Style(choice.format, created=True)))
