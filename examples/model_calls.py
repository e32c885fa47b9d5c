"""Model calls of one's own with a port for /metrics: asks a model for each line of its input, and writes the answer.

``yes hello | OPENAI_API_KEY=... python examples/model_calls.py``, and ``curl localhost:9464/metrics`` meanwhile. Any server of
the chat-completions protocol will do: ``OPENAI_BASE_URL=http://localhost:11434/v1 MODEL=llama4``.
"""

import os
import sys
from decimal import Decimal

from openai import OpenAI, OpenAIError

from telemetry import AGENTOS, AgentOSTelemetry, Catalogue
from telemetry.agentos.catalogue_genai import LATEST
from telemetry.agentos.catalogue_models import ROWS
from telemetry.agentos.genai import Target
from telemetry.agentos.tokens import Tokens
from telemetry.agentos.usage import Usage
from telemetry.exposition import start_http_server

PRICES = {"input": "0.40", "cached": "0.10", "cache_write": "0.50", "output": "1.60", "reasoning": "1.60"}
"""US dollars for a million tokens."""

client = OpenAI(max_retries=0)
url = client.base_url
TARGET = Target("openai", "openai", os.environ.get("MODEL", "small"), url.host, str(url.port or 443))
telemetry = AgentOSTelemetry.from_environment(Catalogue([*AGENTOS, *ROWS, *LATEST.rows]), service_name="asker")


def cost(tokens: Tokens) -> Decimal:
    """The exact cost in US dollars."""
    return (
        sum((Decimal(PRICES[kind]) * count for kind, count in tokens.kinds.items() if kind in PRICES), Decimal(0)) / 1_000_000
    )


def ask(prompt: str) -> str:
    """Returns the answer. The call is recorded however it ends: its time, its chunks, its tokens and their cost."""
    answer, usage = "", Usage()
    with telemetry.recorder.model_attempt(TARGET, "question", 1) as attempt:
        for chunk in client.chat.completions.create(
            model=TARGET.model,
            messages=[{"role": "user", "content": prompt}],
            stream=True,
            stream_options={"include_usage": True},
        ):
            text = (chunk.choices[0].delta.content or "") if chunk.choices else ""
            attempt.chunk(text)
            answer += text
            if chunk.usage is not None and usage.add(chunk.usage.model_dump()):
                tokens = usage.tokens(chunk.model)
                attempt.used(tokens, cost(tokens))
    return answer


def main() -> None:
    """Asks until the input ends."""
    server = start_http_server(telemetry.reader, port=int(os.environ.get("PORT", "9464")))
    for line in sys.stdin:
        try:
            sys.stdout.write(f"{ask(line.strip())}\n")
        except OpenAIError as error:
            sys.stdout.write(f"{type(error).__name__}\n")
        sys.stdout.flush()
    server.close()
    telemetry.shutdown()


if __name__ == "__main__":
    main()
