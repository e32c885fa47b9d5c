"""ASGI middleware of the service: limits of headers and rates, and aborted responses."""
