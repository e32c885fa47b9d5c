"""Agents built with the A2A SDK, on real sockets: the answer is the same whether it is streamed or whole."""

from __future__ import annotations

from typing import Any

import pytest
from a2a.helpers.proto_helpers import new_data_part, new_raw_part, new_text_part, new_url_part
from a2a.server.tasks import TaskUpdater

from tests.helpers.sdk_agent import Work, sdk_agent

ODD = "a\u2028b\u0085c\x0bd"


async def pieces(updater: TaskUpdater) -> None:
    for at, word in enumerate(("good ", "morning ", ODD)):
        await updater.add_artifact([new_text_part(word)], artifact_id="a", append=at > 0)
    await updater.complete()


async def interleaved(updater: TaskUpdater) -> None:
    for at in range(3):
        for name in "xy":
            await updater.add_artifact([new_text_part(f"{name}{at}")], artifact_id=name, append=at > 0)
    await updater.complete()


async def revised(updater: TaskUpdater) -> None:
    for text in ("draft", "better", "final"):
        await updater.add_artifact([new_text_part(text)], artifact_id="a")
    await updater.complete(updater.new_agent_message([new_text_part("done")]))


async def parts(updater: TaskUpdater) -> None:
    files = [new_url_part("https://h/x.pdf", media_type="application/pdf"), new_raw_part(b"12345", media_type="image/png")]
    await updater.add_artifact([new_text_part("see"), new_data_part({"n": 1}), *files], artifact_id="a")
    await updater.complete()


async def remark(updater: TaskUpdater) -> None:
    await updater.complete(updater.new_agent_message([new_text_part("nothing to do")]))


async def question(updater: TaskUpdater) -> None:
    await updater.requires_input(updater.new_agent_message([new_text_part("which one?")]))


WORKS: dict[str, tuple[Work, str]] = {
    "pieces": (pieces, f"good morning {ODD}"),
    "interleaved": (interleaved, "x0x1x2\ny0y1y2"),
    "revised": (revised, "final"),
    "parts": (parts, 'see\n{"n":1}\n[file: application/pdf, https://h/x.pdf]\n[file: image/png, 5 bytes]'),
    "remark": (remark, "nothing to do"),
    "question": (question, "which one?"),
}


@pytest.mark.parametrize("version", ["1.0", "0.3"])
@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("work", "output"), WORKS.values(), ids=WORKS)
def test_answer_of_an_sdk_agent(start, work, output, streaming, version):
    """The output is the same in both ways of sending it and in both versions of the protocol."""
    with sdk_agent(work, streaming=streaming, version=version) as url:
        service = start(agents={"peer": url})
        answer: dict[str, Any] = service.run().json()
    assert (answer["status"], answer["output"]) == ("success", output)
