"""The picture of an exemplar and its trace."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from stack.exemplar_picture import Cell, Dot, draw
from stack.servers.jaeger import Span


def _span(name: str, span_id: str, parent: str | None, start: int, micros: int) -> Span:
    found = {
        "operationName": name,
        "traceID": "abc",
        "spanID": span_id,
        "references": [{"refType": "CHILD_OF", "spanID": parent}] if parent else [],
        "processID": "p1",
        "startTime": start,
        "duration": micros,
        "tags": [],
        "logs": [],
    }
    return Span(found, {"p1": "agentos"})


def test_the_trace_of_the_marked_exemplar_is_beside_its_bucket() -> None:
    """The picture is well-formed and names the exemplar's value and trace, and each span with its length."""
    cells = [Cell(0, 0.1, 2.0), Cell(0, 0.25, 1.0)]
    dots = [Dot(0.2, 0.05, "other"), Dot(0.5, 0.2, "abc")]
    spans = [_span("POST /runs", "1", None, 1_000_000, 200_000), _span("a2a <request>", "2", "1", 1_010_000, 190_000)]
    picture = ET.fromstring(draw(cells, dots, spans))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "trace abc" in texts
    assert "Jaeger: the trace that the marked exemplar of 200 ms names" in texts
    assert texts[-4:] == ["POST /runs", "200.0 ms", "a2a <request>", "190.0 ms"]
