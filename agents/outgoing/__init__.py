"""The HTTP below every client of the service: one origin, bounded answers, no redirects, no cookies."""

from agents.outgoing.client import UntracedPool, outgoing_client
from agents.outgoing.sse import event_lines
from agents.outgoing.transport import BoundedTransport

__all__ = ["BoundedTransport", "UntracedPool", "event_lines", "outgoing_client"]
