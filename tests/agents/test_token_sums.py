"""Tokens and cost of random usages, in the shapes of several providers, against plain sums of decimals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.settings.prices import Prices
from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue_genai import LATEST
from telemetry.agentos.catalogue_models import MODELS
from telemetry.agentos.genai import Target
from telemetry.agentos.usage import Usage
from telemetry.metric import Catalogue
from tests.helpers.samples import above_zero

TARGET = Target("main", "openai", "m")
KINDS = ("input", "cached", "cache_write", "output", "reasoning")
USAGE = "gen_ai_client_inference_usage"


@dataclass(frozen=True)
class Call:
    """What a call really used: tokens of each kind, those of images among the input, and how its provider says so."""

    plain: int
    cached: int
    written: int
    answered: int
    reasoning: int
    images: int
    shape: str

    def report(self) -> dict[str, Any]:
        """The provider's report."""
        read, output = self.plain + self.cached + self.written, self.answered + self.reasoning
        details = {"cached_tokens": self.cached, "cache_write_tokens": self.written}
        if self.shape == "anthropic":
            names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
            return dict(zip(names, (self.plain, self.cached, self.written, output), strict=True))
        found = {"prompt_tokens": read, "completion_tokens": output, "total_tokens": read + output}
        if self.shape == "litellm":
            return found | {"cache_read_input_tokens": self.cached, "cache_creation_input_tokens": self.written}
        if self.shape == "xai":  # counts reasoning beside the completion
            found["completion_tokens"] = self.answered
        if self.shape == "openai":
            details |= {"image_tokens": self.images, "text_tokens": read - self.images}
        return found | {"prompt_tokens_details": details, "completion_tokens_details": {"reasoning_tokens": self.reasoning}}

    @property
    def kinds(self) -> tuple[int, ...]:
        """Tokens by kind, as far as the provider tells them apart."""
        tells = self.shape in ("openai", "openrouter", "xai")
        output = (self.answered, self.reasoning) if tells else (self.answered + self.reasoning, 0)
        return (self.plain, self.cached, self.written, *output)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    count = st.integers(0, 5_000_000)
    plain, cached, written, answered, reasoning = (draw(count) for _ in KINDS)
    images = draw(st.integers(0, plain + cached + written))
    shape = draw(st.sampled_from(["openai", "openrouter", "xai", "anthropic", "litellm"]))
    return Call(plain, cached, written, answered, reasoning, images, shape)


PRICES = st.tuples(*[st.decimals(0, 1000, places=6)] * len(KINDS))


@settings(max_examples=50)
@given(st.lists(calls(), min_size=1, max_size=12), PRICES)
def test_tokens_and_cost_are_the_sums_of_decimals(used, price):
    """Each token of each call is counted once by kind and once by modality, and the cost is exact before it becomes a float."""
    prices = Prices({"m": dict(zip(KINDS, price, strict=True))})
    telemetry = AgentOSTelemetry(Catalogue([*MODELS, *LATEST.rows]), strict=True)
    for number, call in enumerate(used, 1):
        usage = Usage()
        usage.add(call.report())
        tokens = usage.tokens("m")
        with telemetry.recorder.model_attempt(TARGET, "question", number) as attempt:
            attempt.used(tokens, prices.cost("main", "m", tokens))
    found = above_zero(telemetry)
    telemetry.shutdown()

    kinds = [sum(counts) for counts in zip(*(call.kinds for call in used), strict=True)]
    cost = sum((Decimal(count) * one for count, one in zip(kinds, price, strict=True)), Decimal(0)) / 1_000_000
    assert by(found, "ccr_model_tokens_total", "kind") == pairs(dict(zip(KINDS, kinds, strict=True)))
    assert sum(value for (name, _), value in found.items() if name == "ccr_cost_USD_total") == float(cost)
    assert by(found, "ccr_tokens_total", "direction") == pairs({"input": sum(kinds[:3]), "output": sum(kinds[3:])})
    input_tokens: Counter[str] = Counter()
    for call in used:
        read = call.plain + call.cached + call.written
        split = {"image": call.images, "text": read - call.images} if call.shape == "openai" else {"unknown": read}
        input_tokens.update(split)
    assert by(found, f"{USAGE}_input_tokens_total", "gen_ai_token_modality") == pairs(input_tokens)
    totals = {"output": sum(kinds[3:]), "cache_read_input": kinds[1], "cache_write_input": kinds[2]}
    totals["reasoning_output"] = kinds[4]
    for name, total in totals.items():
        assert by(found, f"{USAGE}_{name}_tokens_total", "gen_ai_token_modality") == pairs({"unknown": total})
    assert found["gen_ai_client_inference_operation_input_tokens_count", LABELS] == len(used)


LABELS = tuple(
    sorted(
        {
            "gen_ai_operation_name": "chat",
            "gen_ai_provider_name": "openai",
            "gen_ai_request_model": "m",
            "gen_ai_response_model": "m",
        }.items()
    )
)


def by(samples: dict[Any, float], name: str, key: str) -> dict[str, float]:
    """The samples of this name by one of their labels."""
    return {dict(labels)[key]: value for (found, labels), value in samples.items() if found == name}


def pairs(counts: dict[str, int]) -> dict[str, float]:
    """The counts that are shown: those above 0."""
    return {name: float(count) for name, count in counts.items() if count}
