"""Many scrapes at once while recording: ``python -m benchmarks.scrape_threads [scrapes [threads]]``

By default 48,000 scrapes by 16 threads, a third each in text, in OpenMetrics and through prometheus_client's registry. Exits
with 1 if a body was empty, doubled or torn, or a counter fell.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from threading import Event, Thread
from time import perf_counter

from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from telemetry.exposition import PrometheusReader

__all__ = ["storm"]

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
_TOTAL = re.compile(r"^c_total (\S+)$", re.MULTILINE)
_COUNT = re.compile(r"^h_count (\S+)$", re.MULTILINE)
_INFINITE = re.compile(r'^h_bucket\{le="\+Inf"\} (\S+)$', re.MULTILINE)


class _Last:
    """The counts in the last body that one thread saw."""

    def __init__(self) -> None:
        self.numbers = (0.0, 0.0)

    def judge(self, body: str) -> str:
        """Returns the fault of a body, or ``good``."""
        totals, counts, infinite = _TOTAL.findall(body), _COUNT.findall(body), _INFINITE.findall(body)
        if not totals or not counts or not infinite:
            return "empty"
        if len(totals) > 1 or len(counts) > 1 or body.count("# TYPE") != 2:
            return "doubled"
        now = float(totals[0]), float(counts[0])
        fell = now[0] < self.numbers[0] or now[1] < self.numbers[1]
        self.numbers = now
        return "falling" if fell else "torn" if counts != infinite else "good"


def storm(scrapes: int, threads: int) -> Counter[str]:
    """Returns how many bodies were ``good``, ``empty``, ``doubled``, ``torn`` (count and +Inf differ) or ``falling``."""
    registry = CollectorRegistry()
    reader = PrometheusReader(True, registry=registry, scope_info_enabled=False)
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("m")
    counter, histogram = meter.create_counter("c"), meter.create_histogram("h")
    counter.add(1)
    histogram.record(1)
    done, judged = Event(), Counter[str]()
    found: list[Counter[str]] = []

    def record() -> None:
        while not done.is_set():
            counter.add(1)
            histogram.record(1)

    def scrape(number: int) -> None:
        mine, last = Counter[str](), _Last()
        for i in range(scrapes // threads):
            way = (i + number) % 3
            body = generate_latest(registry) if way == 0 else reader.expose(OPENMETRICS if way == 1 else None).body
            mine[last.judge(body.decode().replace(".0\n", "\n"))] += 1
        found.append(mine)

    recorder = Thread(target=record)
    scrapers = [Thread(target=scrape, args=(number,)) for number in range(threads)]
    for thread in (recorder, *scrapers):
        thread.start()
    for thread in scrapers:
        thread.join()
    done.set()
    recorder.join()
    for mine in found:
        judged += mine
    return judged


def main() -> int:
    scrapes, threads = (int(argument) for argument in (sys.argv[1:] + ["48000", "16"][len(sys.argv) - 1 :])[:2])
    start = perf_counter()
    judged = storm(scrapes, threads)
    print(f"{sum(judged.values()):,} scrapes by {threads} threads while recording, {perf_counter() - start:.1f} s")
    for word in ("good", "empty", "doubled", "torn", "falling"):
        print(f"  {word:<8} {judged[word]:>7,}")
    return 0 if judged["good"] == sum(judged.values()) == scrapes else 1


if __name__ == "__main__":
    sys.exit(main())
