"""The lag of a FastAPI application's event loop while its /metrics is scraped: ``python -m benchmarks.loop_lag``"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from statistics import median
from time import perf_counter

import uvicorn
from fastapi import FastAPI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from prometheus_client import CollectorRegistry

from telemetry.exposition import PrometheusReader, metrics_app

__all__ = ["lag"]

GOAL = 0.010
_EVERY = 0.001
_ROUNDS = 7
_SCRAPES = 5
# The scraper is a process of its own: a thread would hold the interpreter lock whose release is measured.
_SCRAPER = """
import sys, urllib.request
for _ in range(int(sys.argv[2])):
    print(len(urllib.request.urlopen(sys.argv[1]).read()), flush=True)
"""


async def _probe(late: list[float]) -> None:
    """Wakes up every millisecond and adds the lag to ``late``."""
    while True:
        due = perf_counter() + _EVERY
        await asyncio.sleep(_EVERY)
        late.append(max(0.0, perf_counter() - due))


async def _rest() -> None:
    await asyncio.sleep(0.5)


async def _scrape(url: str, samples: list[float]) -> None:
    scraper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SCRAPER, url, str(_SCRAPES + 1), stdout=subprocess.PIPE
    )
    assert scraper.stdout is not None
    await scraper.stdout.readline()
    samples.clear()  # drops the lag of starting the process and of the first scrape, which makes the label texts
    await scraper.communicate()


async def _measure(app: FastAPI) -> tuple[list[list[float]], list[list[float]]]:
    """Returns the lags of each round, at rest and during scrapes; the two take turns."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/metrics"
    rest: list[list[float]] = []
    scraped: list[list[float]] = []
    for _ in range(_ROUNDS):
        for rounds, number in ((rest, 0), (scraped, _SCRAPES)):
            samples: list[float] = []
            rounds.append(samples)
            probe = asyncio.create_task(_probe(samples))
            await (_scrape(url, samples) if number else _rest())
            probe.cancel()
    server.should_exit = True
    await serving
    return rest, scraped


def lag(labels: Sequence[dict[str, str]]) -> list[str]:
    """Returns lines with p99 and worst lag, at rest and during scrapes: the median of the rounds, and the worst of all.

    The goal is for the median: a busy machine sometimes wakes a process late, at rest as well.
    """
    view = View(
        instrument_name="*",
        aggregation=ExplicitBucketHistogramAggregation((0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)),
        aggregation_cardinality_limit=1_000_000,
    )
    reader = PrometheusReader(registry=CollectorRegistry(), scope_info_enabled=False)
    histogram = (
        MeterProvider([reader], shutdown_on_exit=False, views=[view]).get_meter("a").create_histogram("a2a.request", "s")
    )
    for attributes in labels:
        histogram.record(1.5, attributes)
    app = FastAPI()
    app.mount("/metrics", metrics_app(reader))
    rest, scraped = asyncio.run(_measure(app))
    during = f"during scrapes of {len(labels):,} label sets"
    return [_line("at rest", rest), _line(during, scraped) + _verdict(scraped)]


def _line(what: str, rounds: list[list[float]]) -> str:
    p99 = median(sorted(samples)[len(samples) * 99 // 100] for samples in rounds)
    worst = [max(samples) for samples in rounds]
    return (
        f"event-loop lag {what:<40} p99 {p99 * 1e3:6.2f} ms   worst {median(worst) * 1e3:6.2f} ms"
        f"   (of all {len(rounds)} rounds {max(worst) * 1e3:.2f} ms)"
    )


def _verdict(rounds: list[list[float]]) -> str:
    met = median(max(samples) for samples in rounds) <= GOAL
    return f"   goal worst <= {GOAL * 1e3:.0f} ms {'ok' if met else 'MISSED'}"


def main() -> None:
    """Prints the table."""
    print("\nscrape, event loop")
    for line in lag([{"agent": f"agent-{i % 100}", "operation": f"operation-{i // 100}"} for i in range(10_000)]):
        print(f"  {line}")


if __name__ == "__main__":
    main()
