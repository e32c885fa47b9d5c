"""ASGI middleware of the service: limits, text and paths of requests, trace context, aborted responses."""
