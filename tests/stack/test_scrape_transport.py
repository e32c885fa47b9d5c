"""A real Prometheus scrapes over a Unix socket, and compressed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import Service
from telemetry.exposition import metrics_app
from tests.helpers.asgi_server import serving, serving_on_file
from tests.helpers.noted_scrapes import NotedScrapes
from tests.helpers.recorded import Recorded


def test_a_unix_socket(prometheus: Callable[..., Prometheus], tmp_path: Path) -> None:
    """With the target label ``__unix_socket__`` Prometheus scrapes the socket; ``instance`` is the target's address."""
    notes = NotedScrapes(metrics_app(Recorded().reader))
    path = tmp_path / "metrics.sock"
    with serving_on_file(notes, path):
        store = prometheus([scrape_job("file", "agentos", interval="2s", socket=path)])
        (work,) = until("a scrape", lambda: store.query("work_done_bytes_total"))
        assert (work.labels["instance"], work.value) == ("agentos", 5.0)
    assert notes.by_path["/metrics"].status == 200


def test_two_unix_sockets_in_one_job(prometheus: Callable[..., Prometheus], tmp_path: Path) -> None:
    """A relabelling rule makes each target's socket of its address, so one job scrapes several processes."""
    first, second = Recorded(), Recorded()
    second.provider.get_meter("m").create_counter("second").add(1)
    rule = {"source_labels": ["__address__"], "target_label": "__unix_socket__", "replacement": f"{tmp_path}/$1.sock"}
    job = {
        **scrape_job("files", "first", interval="2s", relabel_configs=[rule]),
        "static_configs": [{"targets": ["first", "second"]}],
    }
    with (
        serving_on_file(metrics_app(first.reader), tmp_path / "first.sock"),
        serving_on_file(metrics_app(second.reader), tmp_path / "second.sock"),
    ):
        store = prometheus([job])
        until("both", lambda: len(store.query("work_done_bytes_total")) == 2)
        assert [sample.labels["instance"] for sample in store.query("second_total")] == ["second"]


def test_the_service_on_a_unix_socket(
    service: Callable[..., Service], prometheus: Callable[..., Prometheus], tmp_path: Path
) -> None:
    """The socket of ``AGENTOS_METRICS_LISTEN`` can be scraped."""
    path = tmp_path / "agentos.sock"
    service({"AGENTOS_METRICS_LISTEN": f"unix:{path}"})
    store = prometheus([scrape_job("agentos", "agentos:8000", interval="2s", socket=path)])
    (info,) = until("a scrape", lambda: store.query("agentos_info"))
    assert (info.labels["job"], info.labels["instance"]) == ("agentos", "agentos:8000")


@pytest.mark.parametrize(
    ("features", "options", "asked", "got"),
    [([], {}, "gzip", "gzip"), ([], {"enable_compression": False}, "identity", ""), (["zstd-scrape"], {}, "zstd,gzip", "zstd")],
    ids=["gzip", "identity", "zstd"],
)
def test_compression(
    prometheus: Callable[..., Prometheus], features: list[str], options: dict[str, Any], asked: str, got: str
) -> None:
    """The answer has the first coding that Prometheus asks for, and Prometheus reads it."""
    notes = NotedScrapes(metrics_app(Recorded().reader))
    with serving(notes, lifespan="off") as url:
        store = prometheus([scrape_job("coded", urlsplit(url).netloc, interval="2s", **options)], features=features)
        assert until("a scrape", lambda: store.value("work_done_bytes_total")) == 5.0
    note = notes.by_path["/metrics"]
    assert (note.accept_encoding, note.content_encoding) == (asked, got)
