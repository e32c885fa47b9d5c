"""A streamed answer with its usage, and the samples it is counted in."""

from __future__ import annotations

from tests.helpers.model_server import DONE, says, used

ANSWER = [says(""), says("fine, "), says("thanks"), used(11, 5, cached=3, reasoning=2), DONE]


ANSWERED = {
    "ccr_tokens_total/input/{}": 11,
    "ccr_tokens_total/output/{}": 5,
    "ccr_model_tokens_total/input/m/{}": 8,
    "ccr_model_tokens_total/cached/m/{}": 3,
    "ccr_model_tokens_total/output/m/{}": 3,
    "ccr_model_tokens_total/reasoning/m/{}": 2,
    "ccr_cost_USD_total/m/{}": 0.000059,
    "ccr_time_to_first_token_seconds_count/{}": 1,
}
"""Cost: 8 x 2 + 3 x 1 + 5 x 8 = 59 dollars for a million tokens."""


def answered(provider: str) -> dict[str, float]:
    return {name.format(provider): number for name, number in ANSWERED.items()}


def calls(task: str = "question", *, attempts: int, status: str = "success", **counts: float) -> dict[str, float]:
    """Returns the router's samples for these counts: ``main_error=2`` means two failed calls of provider main."""
    found = {f"ccr_attempts_count/{status}/{task}": 1.0}
    if attempts:
        found[f"ccr_attempts_sum/{status}/{task}"] = float(attempts)
    latency: dict[str, float] = {}
    for name, number in counts.items():
        provider, ending = name.split("_")
        found[f"ccr_requests_total/{provider}/{ending}/{task}"] = number
        latency[provider] = latency.get(provider, 0) + number
    return found | {f"ccr_latency_seconds_count/{provider}": number for provider, number in latency.items()}
