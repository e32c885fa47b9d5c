"""Model providers: the protocol, the built-in one and OpenAI-compatible ones."""
