"""An application that has prometheus_client metrics already: they stay, on the same /metrics as ours.

``python examples/prometheus_client_app.py``, then ``curl localhost:9464/metrics``.
"""

import os
import sys

from prometheus_client import REGISTRY, Counter

from telemetry import Catalogue, Telemetry
from telemetry.exposition import start_http_server
from telemetry.metric import histogram

OLD_LINES = Counter("old_lines", "Lines, counted by prometheus_client")
LENGTH = histogram("line.length", "By", "Length of a line", bounds=(10, 100, 1000))

telemetry = Telemetry(Catalogue([LENGTH]), registry=REGISTRY)  # REGISTRY also has process_* and python_gc_*


def main() -> None:
    """Writes each line of its input in upper case until the input ends."""
    server = start_http_server(telemetry.reader, port=int(os.environ.get("PORT", "9464")))
    for line in sys.stdin:
        OLD_LINES.inc()
        telemetry[LENGTH].labels().observe(len(line.rstrip("\n").encode()))
        sys.stdout.write(line.upper())
        sys.stdout.flush()
    server.close()


if __name__ == "__main__":
    main()
