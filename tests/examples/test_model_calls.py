"""The example of model calls of one's own."""

from __future__ import annotations

import httpx
import pytest

from tests.helpers.example_process import line_filter
from tests.helpers.model_server import DONE, ModelServer, refusal, says, used
from tests.helpers.samples import samples_of

ANSWER = [says("fine, "), says("thanks"), used(11, 5, cached=3, reasoning=2), DONE]


def test_calls_are_recorded_with_tokens_and_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers and a refusal are three calls; tokens are counted once by kind, and cost what the prices say."""
    with ModelServer(ANSWER, refusal(429), ANSWER).running() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("MODEL", "m")
        with line_filter("model_calls.py") as (process, address):
            assert process.stdin is not None
            assert process.stdout is not None
            for answer in ("fine, thanks", "RateLimitError", "fine, thanks"):
                process.stdin.write("how are you?\n")
                process.stdin.flush()
                assert process.stdout.readline() == f"{answer}\n"
            samples = samples_of(httpx.get(address).text)

    def by(name: str, key: str) -> dict[str, float]:
        return {dict(labels).get(key, ""): value for (found, labels), value in samples.items() if found == name and value}

    assert by("ccr_requests_total", "status") == {"success": 2, "error": 1}
    assert by("ccr_errors_total", "reason") == {"rate_limit": 1}
    assert by("ccr_model_tokens_total", "kind") == {"input": 16, "cached": 6, "output": 6, "reasoning": 4}
    assert by("ccr_cost_USD_total", "model") == {"m": 0.000023}
    assert by("gen_ai_client_inference_duration_seconds_count", "error_type") == {"": 2, "429": 1}
    assert by("gen_ai_client_inference_usage_input_tokens_total", "gen_ai_token_modality") == {"unknown": 22}
    assert by("gen_ai_client_inference_time_per_output_chunk_seconds_count", "gen_ai_request_model") == {"m": 4}
