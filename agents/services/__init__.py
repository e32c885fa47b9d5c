"""What the built-in agents use: the cache, the model router with its providers, and the storage below."""
