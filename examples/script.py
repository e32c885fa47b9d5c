"""A script that runs for a while, with a port for /metrics: writes each line of its input in upper case.

``yes hello | python examples/script.py``, and ``curl localhost:9464/metrics`` meanwhile.
"""

import os
import sys

from telemetry import Catalogue, Telemetry
from telemetry.exposition import start_http_server
from telemetry.metric import counter, histogram

LINES = counter("lines", "{line}", "Lines written")
LENGTH = histogram("line.length", "By", "Length of a line", bounds=(10, 100, 1000))

telemetry = Telemetry.from_environment(Catalogue([LINES, LENGTH]), service_name="upper")


def main() -> None:
    """Reads until the input ends."""
    server = start_http_server(telemetry.reader, port=int(os.environ.get("PORT", "9464")))
    for line in sys.stdin:
        telemetry[LINES].labels().inc()
        telemetry[LENGTH].labels().observe(len(line.rstrip("\n").encode()))
        sys.stdout.write(line.upper())
        sys.stdout.flush()
    server.close()
    telemetry.shutdown()


if __name__ == "__main__":
    main()
