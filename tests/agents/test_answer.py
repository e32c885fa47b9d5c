"""An agent's answer, put together from its artifacts and messages."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from a2a.types.a2a_pb2 import StreamResponse
from google.protobuf.json_format import ParseDict

from agents.gateway.failure import RunFailure
from agents.gateway.run import Run

WORKING, COMPLETED = "TASK_STATE_WORKING", "TASK_STATE_COMPLETED"


def parts(*texts: str | dict[str, Any]) -> list[dict[str, Any]]:
    return [{"text": one} if isinstance(one, str) else one for one in texts]


def art(name: str, *texts: str | dict[str, Any], append: bool = False, last: bool = False) -> dict[str, Any]:
    one = {"artifactId": name, "parts": parts(*texts)}
    return {"artifactUpdate": {"taskId": "t", "artifact": one, "append": append, "lastChunk": last}}


def more(name: str, *texts: str | dict[str, Any]) -> dict[str, Any]:
    return art(name, *texts, append=True)


def task(state: str, *artifacts: tuple[Any, ...], said: str = "") -> dict[str, Any]:
    held = [{"artifactId": name, "parts": parts(*texts)} for name, *texts in artifacts]
    return {"task": {"id": "t", "status": status_of(state, said), "artifacts": held}}


def status_of(state: str, *said: str) -> dict[str, Any]:
    return {"state": state, "message": {"parts": parts(*said)}} if any(said) else {"state": state}


def status(state: str, *said: str) -> dict[str, Any]:
    return {"statusUpdate": {"taskId": "t", "status": status_of(state, *said)}}


def message(*texts: str | dict[str, Any]) -> dict[str, Any]:
    return {"message": {"messageId": "m", "parts": parts(*texts)}}


def taken(*events: dict[str, Any]) -> tuple[Run, list[str]]:
    """The run after these events, and the texts that it returned."""
    run = Run("peer", "query", "q", "w")
    return run, [run.take(ParseDict(event, StreamResponse())) for event in events]


DONE = status(COMPLETED)
ANSWERS = {
    "pieces follow each other": ([art("a", "good "), more("a", "morning"), DONE], "good morning"),
    "an update without append replaces": ([art("a", "draft"), art("a", "final"), DONE], "final"),
    "replacing ends what was appended": (
        [art("a", "one"), more("a", " two"), art("a", "three"), more("a", "!"), DONE],
        "three!",
    ),
    "an empty artifact replaces as well": ([art("a", "draft"), art("a"), art("b", "final"), DONE], "final"),
    "append to an unknown artifact begins it": ([more("a", "one"), more("b", "two"), DONE], "one\ntwo"),
    "interleaved artifacts": ([art("x", "A1"), art("y", "B1"), more("x", "A2"), more("y", "B2"), DONE], "A1A2\nB1B2"),
    "order of first appearance": ([art("x"), art("y", "y"), more("x", "x"), DONE], "x\ny"),
    "a replaced artifact keeps its place": ([art("x", "1"), art("y", "2"), art("x", "3"), DONE], "3\n2"),
    "pieces after the last chunk": ([art("x", "a", last=True), more("x", "b"), DONE], "ab"),
    "the final task completes": ([art("x", "one"), task(COMPLETED, ("x", "one"), ("y", "two"))], "one\ntwo"),
    "the final task replaces": ([art("x", "a"), task(COMPLETED, ("x", "a b c"))], "a b c"),
    "the final task drops": ([art("x", "a"), art("y", "b"), task(COMPLETED, ("y", "b"))], "b"),
    "the final task orders nothing anew": (
        [art("x", "a"), art("y", "b"), task(COMPLETED, ("z", "c"), ("y", "b"), ("x", "a"))],
        "a\nb\nc",
    ),
    "a final task without artifacts drops nothing": ([art("x", "a"), task(COMPLETED)], "a"),
    "a task at work replaces what it holds": (
        [art("x", "a"), art("y", "b"), task(WORKING, ("x", "c")), task(COMPLETED)],
        "c\nb",
    ),
    "tasks that grow": ([task(WORKING, ("x", "a")), task(COMPLETED, ("x", "a b c"))], "a b c"),
    "parts of the final task are those of the pieces": (
        [art("x", "good "), more("x", "morning"), task(COMPLETED, ("x", "good ", "morning"))],
        "good morning",
    ),
    "artifacts without an id stand side by side": ([art("", "a"), more("", "b"), art("", "c"), more("", "d"), DONE], "ab\ncd"),
    "a final task without ids": ([art("", "a"), art("", "b"), task(COMPLETED, ("", "A"), ("", "B"))], "A\nB"),
    "an id twice in one task": ([task(COMPLETED, ("x", "a"), ("x", "b"))], "a\nb"),
    "nothing at all": ([DONE], ""),
    "a message is the whole answer": ([message("hello", "you")], "hello\nyou"),
    "a message after artifacts is the whole answer": ([art("x", "draft"), message("final")], "final"),
    "a message without text leaves the artifacts": ([art("x", "a"), message()], "a"),
    "text in the status alone": ([task(WORKING), status(COMPLETED, "it is done")], "it is done"),
    "text in the status of the task alone": ([task(COMPLETED, said="it is done")], "it is done"),
    "a completed task's remark beside artifacts": ([art("x", "42"), status(COMPLETED, "it is done")], "42"),
    "a remark beside empty artifacts": ([art("x"), status(COMPLETED, "it is done")], "it is done"),
    "a remark on the way": ([status(WORKING, "thinking"), art("x", "42"), DONE], "42"),
    "a question": ([status("TASK_STATE_INPUT_REQUIRED", "which one?")], "which one?"),
    "a question beside artifacts": ([art("x", "a, b"), status("TASK_STATE_INPUT_REQUIRED", "which?")], "a, b\nwhich?"),
    "a demand for authorization": ([art("x", "a"), status("TASK_STATE_AUTH_REQUIRED", "log in")], "a\nlog in"),
    "texts of an artifact are not set apart": ([art("x", "a", "b"), DONE], "ab"),
    "data is JSON": ([art("x", {"data": {"n": [1, 2.5, None, True, "ü"]}}), DONE], '{"n":[1,2.5,null,true,"ü"]}'),
    "data of every kind": (
        [art("x", *[{"data": one} for one in ("s", 1, None, [], {}, False)]), DONE],
        '"s"\n1\nnull\n[]\n{}\nfalse',
    ),
    "data stands on a line of its own": ([art("x", "see ", {"data": 1}, "end"), DONE], "see \n1\nend"),
    "data in pieces": ([art("x", "a"), more("x", {"data": 1}), more("x", "b"), more("x", "c"), DONE], "a\n1\nbc"),
    "a file by its address": (
        [art("x", {"url": "https://h/r.pdf", "filename": "r.pdf", "mediaType": "application/pdf"}), DONE],
        "[file: r.pdf, application/pdf, https://h/r.pdf]",
    ),
    "a file by its size": ([art("x", {"raw": "aGVsbG8=", "mediaType": "image/png"}), DONE], "[file: image/png, 5 bytes]"),
    "a file without a name": ([art("x", {"raw": ""}), DONE], "[file: 0 bytes]"),
    "a file with an odd name": ([art("x", {"url": "u", "filename": "a\n\x1b[31m\u2028b"}), DONE], "[file: a \ufffd[31m b, u]"),
    "a part without content": ([art("x", {}, {"text": ""}, "a"), DONE], "a"),
    "a data message": ([message("see", {"data": [1]})], "see\n[1]"),
}


@pytest.mark.parametrize(("events", "output"), ANSWERS.values(), ids=ANSWERS)
def test_answer_is_put_together_by_the_protocol(events, output):
    """The output is what the protocol makes of the events, and the run has ended."""
    run, _ = taken(*events)
    assert (run.output, run.ended) == (output, True)


@pytest.mark.parametrize(("events", "output"), ANSWERS.values(), ids=ANSWERS)
def test_texts_returned_are_the_output_unless_replaced(events, output):
    """The texts returned event by event make the output; where they cannot, the run says so."""
    run, texts = taken(*events)
    assert run.replaced or "".join(texts) == output


@pytest.mark.parametrize(
    ("events", "texts"),
    [
        ([art("a", "good "), more("a", "morning"), DONE], ["good ", "morning", ""]),
        ([art("a", "x"), art("b", "y"), more("b", "z"), DONE], ["x", "\ny", "z", ""]),
        ([art("a", "x"), art("a", "x y"), task(COMPLETED, ("a", "x y z"))], ["x", " y", " z"]),
        ([art("a", "x"), art("b"), more("a", "y"), DONE], ["x", "", "y", ""]),
        ([art("a", "x"), status("TASK_STATE_INPUT_REQUIRED", "?")], ["x", "\n?"]),
        ([task(WORKING, ("a", "x"), ("b", "y")), task(COMPLETED, ("a", "x"), ("b", "y"))], ["x\ny", ""]),
    ],
)
def test_text_that_follows_is_new(events, texts):
    """While new text follows the old one, each event returns exactly what is new."""
    run, returned = taken(*events)
    assert (returned, run.replaced) == (texts, False)


@pytest.mark.parametrize(
    "events",
    [
        [art("a", "draft"), art("a", "final")],
        [art("a", "draft"), art("a", "dra")],
        [art("a", "draft"), art("a")],
        [art("a", "x"), art("b", "y"), more("a", "z")],
        [art("a"), art("b", "y"), more("a", "z")],
        [art("a", "x"), art("b", "y"), task(COMPLETED, ("a", "x"))],
        [art("a", "x"), message("y")],
    ],
)
def test_text_that_changes_is_told(events):
    """When returned text changes, the run says so and returns no text from then on."""
    run, texts = taken(*events)
    assert (run.replaced, texts[-1]) == (True, "")
    after = [run.take(ParseDict(event, StreamResponse())) for event in (more("b", "more"), art("c", "new"))]
    assert after == ["", ""]


def test_random_events_agree_with_a_plain_model():
    """Whatever the order of updates, the output is that of a dictionary of artifacts, and the texts are its prefixes."""
    dice = random.Random(7)
    for _ in range(300):
        known: dict[str, str] = {}
        run, sent = Run("peer", "query", "q", "w"), ""
        for _ in range(dice.randrange(12)):
            name, text, append = dice.choice("xyz"), dice.choice(["", "a", "ab", "b"]), dice.random() < 0.6
            known[name] = known.get(name, "") + text if append else text
            sent += run.take(ParseDict(art(name, text, append=append), StreamResponse()))
            assert run.output == "\n".join(one for one in known.values() if one)
            assert run.replaced or sent == run.output


def test_number_of_artifacts_is_bounded():
    """An answer has a thousand artifacts at the most, in updates and in tasks, with ids and without."""
    for event in (
        lambda count: [art(str(at), "x") for at in range(count)],
        lambda count: [art("", "x") for _ in range(count)],
        lambda count: [task(COMPLETED, *[(str(at), "x") for at in range(count)])],
    ):
        run, _ = taken(*event(1000))
        assert run.output.count("x") == 1000
        with pytest.raises(RunFailure, match=r"^the agent sends more than 1000 artifacts$"):
            taken(*event(1001))


@pytest.mark.parametrize("state", ["TASK_STATE_FAILED", "TASK_STATE_REJECTED", "TASK_STATE_CANCELED"])
def test_reason_of_a_failed_task_is_one_printable_line(state):
    """What an agent says about its failure is bounded, in one line, and printable."""
    with pytest.raises(RunFailure) as failure:
        taken(status(state, "one", "two\r\n\x1b(" + "x" * 10_000))
    assert failure.value.error_type == "agent"
    assert failure.value.reason.split(": ")[1] == f"one two \ufffd({'x' * 189}…"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, 2.0**60])
def test_data_with_odd_numbers_is_json(number):
    """Data is JSON that every parser reads, whatever its numbers."""
    event = StreamResponse()
    part = event.artifact_update.artifact.parts.add()
    part.data.number_value = number
    run = Run("peer", "query", "q", "w")
    run.take(event)
    assert json.loads(run.output, parse_constant=pytest.fail) in (None, number)
