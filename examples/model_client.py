"""A client of models of one's own, measured without the service: answers each line of its input in 80 characters at most.

``MODEL_URL=https://host/v1/chat/completions python examples/model_client.py``, and ``curl localhost:9464/metrics`` meanwhile:
the time to the first text, tokens, the pace of complete streams, estimated tokens of those that are cut, the provider's quota.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing

import httpx

from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue_models import MODELS
from telemetry.agentos.genai import Target
from telemetry.agentos.quota import quotas_of
from telemetry.agentos.tokens import Tokens
from telemetry.exposition import start_http_server

MODEL = Target("mine", vendor="openai", model=os.environ.get("MODEL", "small"))
LONGEST = 80

telemetry = AgentOSTelemetry.from_environment(MODELS, service_name="model-client")
client = httpx.Client(headers={"Authorization": f"Bearer {os.environ.get('MODEL_KEY', 'none')}"}, timeout=60)


def answer(question: str) -> Iterator[str]:
    """Yields the text as it comes. A reader who closes it cancels the call."""
    asked = {"model": MODEL.model, "messages": [{"role": "user", "content": question}], "stream": True}
    asked["stream_options"] = {"include_usage": True}
    with telemetry.recorder.model_attempt(MODEL, "question", 1) as call:
        try:
            with client.stream("POST", os.environ["MODEL_URL"], json=asked) as response:
                for quota in quotas_of(response.headers.multi_items()):
                    call.quota(quota)
                response.raise_for_status()
                for line in response.iter_lines():
                    event = json.loads(line.removeprefix("data: ")) if line.startswith("data: {") else {}
                    if used := event.get("usage"):
                        call.used(Tokens(used["prompt_tokens"], used["completion_tokens"]), cost=None)
                    for choice in event.get("choices", ()):
                        text = choice["delta"].get("content") or ""
                        call.chunk(text)
                        yield text
                        call.ask()
        except GeneratorExit:
            call.estimate_input(question)
            raise


def main() -> None:
    """Answers until the input ends."""
    server = start_http_server(telemetry.reader, port=int(os.environ.get("PORT", "9464")))
    for line in sys.stdin:
        written = ""
        with closing(answer(line.strip())) as pieces:
            while len(written) < LONGEST and (piece := next(pieces, None)) is not None:
                written += piece
        sys.stdout.write(written[:LONGEST] + "\n")
        sys.stdout.flush()
    server.close()
    client.close()
    telemetry.shutdown()


if __name__ == "__main__":
    main()
