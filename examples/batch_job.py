"""A batch job that ends before Prometheus scrapes it: pushes its metrics to a Pushgateway when it is done.

``PUSHGATEWAY=localhost:9091 python examples/batch_job.py FILE...`` counts the lines of the files.
"""

import os
import sys
import time
from pathlib import Path

from prometheus_client import push_to_gateway

from telemetry import Catalogue, Telemetry
from telemetry.metric import closed_label, counter, observable_gauge

RESULT = closed_label("result", "how it ended", "read", "failed")
FILES = counter("job.files", "{file}", "Files of the job", RESULT)
LINES = counter("job.lines", "{line}", "Lines in these files")
LAST_SUCCESS = observable_gauge("job.last_success", "s", "Time of the last job without a failure, since the epoch")


def main(paths: list[str]) -> int:
    """Counts, pushes, and returns the exit status: 1 if a file could not be read."""
    telemetry = Telemetry(Catalogue([FILES, LINES, LAST_SUCCESS]))
    telemetry.start_at_zero(FILES)
    failed = False
    for path in paths:
        try:
            lines = Path(path).read_text().count("\n")
        except OSError:
            failed = True
            telemetry[FILES].labels("failed").inc()
        else:
            telemetry[FILES].labels("read").inc()
            telemetry[LINES].labels().inc(lines)
    if not failed:
        ended = time.time()
        telemetry[LAST_SUCCESS].watch(lambda: {(): ended})
    push_to_gateway(os.environ.get("PUSHGATEWAY", "localhost:9091"), job="lines", registry=telemetry.registry)
    telemetry.shutdown()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
