"""The attributes of a model call's span: models, tokens and text."""

from __future__ import annotations

import json


def test_a_model_span_names_models_and_tokens(start):
    """The span names request and response model, vendor, and the tokens that were counted."""
    service = start()
    service.run("herald", "two words")
    (span,) = service.spans.wait("ccr.request")
    found = {key: value for key, value in span.attributes.items() if key.startswith("gen_ai.")}
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "agentos",
        "gen_ai.request.model": "builtin-1",
        "gen_ai.response.model": "builtin-1",
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.usage.output_tokens": 17,
    }


def test_no_text_of_a_call_is_on_a_span(start):
    """No span has text of prompt or answer."""
    service = start()
    service.run("herald", "walrus", workspace="w")
    service.spans.wait("POST /agents/{agent}/runs")
    assert [span.name for span in service.spans.ended if "walrus" in str(dict(span.attributes or {}))] == []


def test_text_is_on_the_model_span_when_switched_on(start):
    """With AGENTOS_TRACE_CONTENT the model span carries both as messages."""
    service = start(trace_content=True)
    service.run("herald", "walrus")
    (span,) = service.spans.wait("ccr.request")
    (asked,) = json.loads(span.attributes["gen_ai.input.messages"])
    (answered,) = json.loads(span.attributes["gen_ai.output.messages"])
    assert (asked["role"], asked["parts"]) == ("user", [{"type": "text", "content": "walrus"}])
    assert answered["role"] == "assistant"
    assert "walrus" in answered["parts"][0]["content"]
