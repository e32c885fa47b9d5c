"""``agentos`` as a name in OpenTelemetry's own configuration, without a line of code."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Gauge

from telemetry.exposition.autoload import AutoReader, ReaderSettingsError, pull_reader

ROOT = Path(__file__).parents[3]
RESOURCE = Resource({"service.name": "shop", "service.secret": "s", "host.name": "h"})
APP = """
from fastapi import FastAPI
from prometheus_client import Gauge

app = FastAPI()
Gauge("shelves", "Shelves").set(4)

@app.get("/orders/{order}")
def read(order: int) -> int:
    return order
"""
CONFIGURATOR = """
from opentelemetry.sdk._configuration import _OTelSDKConfigurator

class Configurator(_OTelSDKConfigurator):
    pass
"""
CONFIGURATION = """
file_format: "1.1"
resource: {{attributes: [{{name: service.name, value: shop}}]}}
propagator: {{composite: [{{tracecontext: null}}]}}
meter_provider:
  readers:
    - pull:
        exporter:
          agentos:
            host: localhost
            port: {port}
            translation_strategy: underscore_escaping_with_suffixes
            scope_info_enabled: false
            resource_constant_labels: {{included: ["service.*"], excluded: ["service.instance.*"]}}
"""


NO_PUSH = {"OTEL_PYTHON_CONFIGURATOR": "test", "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


@contextmanager
def served(reader: AutoReader) -> Iterator[MeterProvider]:
    """A provider with the reader, shut down afterwards."""
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    try:
        yield provider
    finally:
        provider.shutdown()


def scrape(port: int | None, accept: str = "*/*", query: str = "") -> str:
    """Returns the body behind the port."""
    with urlopen(Request(f"http://localhost:{port}/metrics{query}", headers={"Accept": accept}), timeout=10) as answer:
        body: bytes = answer.read()
        return body.decode()


def free_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.create_server(("localhost", 0)) as taken:
        return int(taken.getsockname()[1])


def test_the_variables_say_where_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_EXPORTER_PROMETHEUS_HOST`` and ``OTEL_EXPORTER_PROMETHEUS_PORT`` are the address."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", str(port := free_port()))
    with served(AutoReader(registry=CollectorRegistry())) as provider:
        provider.get_meter("m").create_counter("c").add(1)
        assert 'c_total{otel_scope_name="m"' in scrape(port, query="?name[]=c_total")


@pytest.mark.parametrize("value", ["http", "-1", "65536", "9464.5"])
def test_a_port_that_is_none_is_logged_and_not_used(
    value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A port that cannot be used is named in one sentence, and the default is served."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", value)
    with served(AutoReader(host="localhost", registry=CollectorRegistry())):
        assert caplog.messages[0] == (
            f"OTEL_EXPORTER_PROMETHEUS_PORT is {value!r}; it must be between 0 and 65535: port 9464 is served"
        )


def test_a_port_in_use_is_logged_and_the_program_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A second reader on a port is not served: one error that names the variables, no exception."""
    first = AutoReader("localhost", 0, registry=CollectorRegistry())
    port = first.port
    with served(first), caplog.at_level(logging.ERROR):
        second = AutoReader("localhost", port, registry=CollectorRegistry())
        second.shutdown()
    assert second.port is None
    assert caplog.messages == [
        f"process {os.getpid()}: cannot serve metrics on localhost:{port}: Address already in use "
        "(OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT)"
    ]


def test_a_host_that_does_not_exist_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A host that is no address of this machine is an error in the log, not an exception."""
    reader = AutoReader("192.0.2.1", 0, registry=CollectorRegistry())
    reader.shutdown()
    assert len(caplog.messages) == 1
    assert "cannot serve metrics on 192.0.2.1:0: " in caplog.messages[0]


def test_shutdown_stops_the_server() -> None:
    """After the provider's shutdown nothing listens."""
    reader = AutoReader("localhost", 0, registry=CollectorRegistry())
    port = reader.port
    with served(reader):
        assert scrape(port) is not None
    with pytest.raises(URLError):
        scrape(port)


def test_users_collectors_are_shown_too() -> None:
    """The registry of prometheus_client stands beside the OpenTelemetry metrics."""
    registry = CollectorRegistry()
    Gauge("shelves", "Shelves", registry=registry).set(4)
    reader = AutoReader("localhost", 0, registry=registry, beside=registry)
    with served(reader):
        assert scrape(reader.port, query="?name[]=shelves") == "# HELP shelves Shelves\n# TYPE shelves gauge\nshelves 4.0\n"


def test_labels_that_a_client_can_choose_are_left_out() -> None:
    """The HTTP server's metrics lack the ``Host`` header; a View of the provider's takes the place of ours."""
    attributes = {"http.method": "GET", "http.host": "chosen"}
    for views, expected in (((), '{http_method="GET"}'), ((View(instrument_name="http.server.*"),), '{http_host="chosen",')):
        reader = AutoReader("localhost", 0, registry=CollectorRegistry(), scope_info_enabled=False)
        provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False, views=views)
        provider.get_meter("m").create_counter("http.server.things").add(1, attributes)
        assert f"http_server_things_total{expected}" in scrape(reader.port)
        provider.shutdown()


def test_the_properties_of_the_declarative_configuration() -> None:
    """Scope labels, resource labels, target info and the spelling of names follow the properties."""
    properties = {
        "host": None,
        "port": 0,
        "scope_info_enabled": False,
        "target_info_enabled/development": False,
        "translation_strategy": "no_utf8_escaping_with_suffixes/development",
        "resource_constant_labels": {"included": ["service.*", "host.nam?"], "excluded": ["*.secret"]},
    }
    reader = pull_reader(**properties)
    reader.beside = None
    with served(reader) as provider:
        provider.get_meter("m").create_counter("a.b", unit="s").add(1)
        body = scrape(reader.port, "text/plain;version=0.0.4;escaping=allow-utf-8")
    assert body == '# TYPE "a.b_seconds_total" counter\n{"a.b_seconds_total","host.name"="h","service.name"="shop"} 1\n'


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"hots": "x"}, "agentos: hots is not a property; allowed are host, port, scope_info_enabled, target_info_enabled, "),
        ({"host": 1}, "agentos: host is 1; it must be a string."),
        ({"port": True}, "agentos: port is True; it must be an integer."),
        ({"host": " "}, "agentos: host is blank; it must be a host name or an address, such as localhost or 0.0.0.0."),
        ({"host": ["x"] * 1000}, "agentos: host is ['x', 'x'"),
        ({"port": 10**5000}, "agentos: port is int; it must be between 0 and 65535."),
        ({"port": 70000}, "agentos: port is 70000; it must be between 0 and 65535."),
        ({"scope_info_enabled": "no"}, "agentos: scope_info_enabled is 'no'; it must be true or false."),
        (
            {"translation_strategy": "x"},
            "agentos: translation_strategy is 'x'; allowed are underscore_escaping_with_suffixes, ",
        ),
        ({"resource_constant_labels": []}, "agentos: resource_constant_labels is []; it must be an object."),
        ({"resource_constant_labels": {"include": []}}, "agentos: resource_constant_labels.include is not a property; "),
        (
            {"resource_constant_labels": {"included": "service.*"}},
            "agentos: resource_constant_labels.included is 'service.*'; it must be a list of patterns.",
        ),
    ],
)
def test_a_wrong_property_is_one_sentence(properties: dict[str, object], message: str) -> None:
    """An unknown property, or a value that cannot be used, raises with its name, its value and what is allowed."""
    with pytest.raises(ReaderSettingsError, match="^" + re.escape(message)):
        pull_reader(**properties)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_the_port_to_its_parent() -> None:
    """A forked child closes the inherited socket, so that the port is free once its parent has shut down."""
    reader = AutoReader("localhost", 0, registry=CollectorRegistry())
    port = reader.port
    read, write = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.write(tell, b".")
        os.read(read, 1)
        os._exit(0 if reader.port is None else 1)
    os.close(read)
    os.read(told, 1)
    reader.shutdown()
    again = AutoReader("localhost", port, registry=CollectorRegistry())
    again.shutdown()
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert again.port == port


@contextmanager
def instrumented_app(folder: Path, **variables: str) -> Iterator[str]:
    """A plain FastAPI app under ``opentelemetry-instrument``, with the project's entry points; yields its address."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    groups["opentelemetry_configurator"] = {"test": "a_configurator:Configurator"}
    lines = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups.items())
    (folder / "installed-1.dist-info").mkdir()
    (folder / "installed-1.dist-info" / "entry_points.txt").write_text("\n".join(lines))
    (folder / "installed-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    (folder / "a_configurator.py").write_text(CONFIGURATOR)
    (folder / "plain_app.py").write_text(APP)
    path = os.pathsep.join([str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, "-m", "uvicorn"]
    process = subprocess.Popen(
        [*command, "plain_app:app", "--port", "0"],
        cwd=folder,
        env={**os.environ, **NO_PUSH, "PYTHONPATH": path, **variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                yield found[1]
                break
        else:
            pytest.fail("".join(seen))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _has(module: str) -> bool:
    return find_spec(module) is not None


@pytest.mark.skipif(not _has("opentelemetry.instrumentation"), reason="needs opentelemetry-instrumentation")
def test_a_plain_app_under_opentelemetry_instrument(tmp_path: Path) -> None:
    """``OTEL_METRICS_EXPORTER=agentos`` serves the app's HTTP metrics and its own, without the client's ``Host``."""
    port = free_port()
    variables = {"OTEL_METRICS_EXPORTER": "agentos", "OTEL_EXPORTER_PROMETHEUS_PORT": str(port), "OTEL_SERVICE_NAME": "shop"}
    with instrumented_app(tmp_path, **variables) as address:
        for _ in range(2):  # the first is recorded once the second is answered
            urlopen(Request(f"{address}/orders/7", headers={"Host": "chosen.example"}), timeout=10).read()
        body = scrape(port, "application/openmetrics-text")
    assert re.search(r'http_server_duration_milliseconds_count\{.*http_status_code="200".*\} [12]\n', body)
    assert "shelves 4.0\n" in body
    assert 'service_name="shop"' in body
    assert "chosen.example" not in body
    assert body.endswith("# EOF\n")


@pytest.mark.skipif(not _has("opentelemetry.configuration"), reason="needs opentelemetry-configuration")
def test_a_plain_app_with_a_declarative_configuration(tmp_path: Path) -> None:
    """``OTEL_CONFIG_FILE`` with the pull exporter ``agentos`` serves the app's metrics as the file says."""
    port = free_port()
    (tmp_path / "otel.yaml").write_text(CONFIGURATION.format(port=port))
    with instrumented_app(tmp_path, OTEL_CONFIG_FILE=str(tmp_path / "otel.yaml")) as address:
        for _ in range(2):
            urlopen(f"{address}/orders/7", timeout=10).read()
        body = scrape(port)
    assert re.search(r'http_server_duration_milliseconds_count\{.*service_name="shop".*\} [12]\n', body)
    assert "otel_scope_name" not in body
