"""The example of a client of models of one's own."""

from __future__ import annotations

import httpx
import pytest

from tests.helpers.example_process import line_filter
from tests.helpers.model_server import DONE, ModelServer, says, used
from tests.helpers.samples import labelled, samples_of

QUOTA = [("x-ratelimit-limit-tokens", "1000"), ("x-ratelimit-remaining-tokens", "984"), ("x-ratelimit-reset-tokens", "6m0s")]


def test_complete_and_cut_answers_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer has its reported tokens; the second one is cut, and estimated; the quota is shown."""
    long = [says("x" * 60), says("y" * 60), says("z" * 60), used(7, 45), DONE]
    with ModelServer([says("fine"), used(11, 5), DONE], long, headers=QUOTA).running() as url:
        monkeypatch.setenv("MODEL_URL", f"{url}/chat/completions")
        with line_filter("model_client.py") as (process, metrics):
            assert process.stdin is not None
            assert process.stdout is not None
            answers = []
            for line in ("How are you?", "Tell me more."):
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
                answers.append(process.stdout.readline())
            found = samples_of(httpx.get(metrics).text)
    assert answers == ["fine\n", "x" * 60 + "y" * 20 + "\n"]
    provider, model = {"provider": "mine"}, {"provider": "mine", "model": "small"}
    assert found[labelled("ccr_requests_total", **provider, task_type="question", status="success")] == 1
    assert found[labelled("ccr_errors_total", **provider, reason="cancelled")] == 1
    assert found[labelled("ccr_tokens_total", **provider, direction="input")] == 11
    assert found[labelled("ccr_tokens_total", **provider, direction="output")] == 5
    assert found[labelled("ccr_estimated_tokens_total", **model, direction="input")] == 4  # 13 bytes
    assert found[labelled("ccr_estimated_tokens_total", **model, direction="output")] == 30  # 120 bytes
    assert found[labelled("ccr_unpriced_total", **model, reason="usage")] == 1
    assert found[labelled("ccr_time_to_first_token_seconds_count", **provider)] == 2
    assert found[labelled("ccr_quota_limit", **provider, resource="tokens")] == 1000
    assert found[labelled("ccr_quota_remaining", **provider, resource="tokens")] == 984
