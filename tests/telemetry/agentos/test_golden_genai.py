"""The GenAI metrics of three calls on /metrics, to the byte, in each version of the conventions.

``EXPOSITION_GOLDEN=write python -m pytest tests/telemetry/agentos/test_golden_genai.py`` writes the files anew; check the
difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telemetry import AGENTOS, AgentOSTelemetry
from telemetry.agentos.catalogue_genai import VERSIONS
from telemetry.agentos.genai import Target
from telemetry.agentos.tokens import Modalities, Tokens
from telemetry.metric import Catalogue
from tests.helpers.clock import Clock

GOLDEN = Path(__file__).parent / "golden"
REMOTE = Target("main", "openai", "small", "api.example", "443")
LOCAL = Target("here", "agentos", "own", streams=False, serves=True)
USED = Tokens(
    *(1200, 90, 1290, "small-2026"),
    cached_tokens=800,
    reasoning_tokens=40,
    cache_write_tokens=300,
    input_modalities=Modalities(text=900, image=250),
    output_modalities=Modalities(audio=30),
    cached_modalities=Modalities(text=700, image=100),
)


class Failure(Exception):
    """A refusal by the provider."""

    status = 429


def scripted(name: str) -> AgentOSTelemetry:
    """Returns a telemetry with a streamed call, a failed one, and one of a model of this process."""
    clock = Clock()
    telemetry = AgentOSTelemetry(Catalogue([*AGENTOS, *VERSIONS[name].rows]), strict=True, clock=clock)
    with telemetry.recorder.model_attempt(REMOTE, "chat", 1) as attempt:
        for seconds, text in ((0.25, ""), (0.5, "fine"), (2.0, ", thanks")):
            clock.now += seconds
            attempt.chunk(text)
        attempt.used(USED, None)
    with pytest.raises(Failure), telemetry.recorder.model_attempt(REMOTE, "chat", 2):
        clock.now += 0.125
        raise Failure
    with telemetry.recorder.model_attempt(LOCAL, "chat", 1) as attempt:
        clock.now += 1.0
        attempt.chunk("fine")
        attempt.used(Tokens(7, 5), None)
        clock.now += 2.0
    return telemetry


@pytest.mark.parametrize("name", VERSIONS)
def test_golden(name: str) -> None:
    """The families of the GenAI metrics are the golden file of their version."""
    telemetry = scripted(name)
    lines = telemetry.reader.expose().body.decode().splitlines(keepends=True)
    text = "".join(line for line in lines if "gen_ai_" in line)
    telemetry.shutdown()
    file = GOLDEN / f"genai-{name.removeprefix('genai-')}.txt"
    if os.environ.get("EXPOSITION_GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text(encoding="utf-8")
