"""The names of the package ``telemetry``, which load on first use."""

from __future__ import annotations

import subprocess
import sys
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import telemetry
from telemetry import exposition, pipeline, prefork

SHOP = """
import sys
from telemetry import Catalogue, PrometheusReader, RequestTimer, Telemetry
from telemetry.metric import counter, open_label

ORDERS = counter("shop.orders", "{order}", "Orders", open_label("shop", "shop", limit=3))
telemetry = Telemetry(Catalogue([ORDERS]))
telemetry[ORDERS].labels(shop="north").inc()
assert b'shop_orders_total{shop="north"} 1' in telemetry.reader.expose().body
telemetry.shutdown()
print([name for name in sys.modules if name.startswith("telemetry.agentos")])
"""

FIRST_SCRAPE = """
import sys
from telemetry import Telemetry, Catalogue, counter, histogram, open_label

SHOP = open_label("shop", "shop", limit=3)
ORDERS = counter("shop.orders", "{order}", "Orders", SHOP)
WAIT = histogram("shop.wait", "s", "Time until an order is served", SHOP, bounds=[0.1, 1, 10])
telemetry = Telemetry(Catalogue([ORDERS, WAIT]))
telemetry[ORDERS].labels(shop="north").inc()
telemetry[WAIT].labels(shop="north").observe(0.2)
body = telemetry.reader.expose().body
assert b'shop_orders_total{shop="north"} 1' in body
assert b'shop_wait_seconds_bucket{shop="north",le="1.0"} 1' in body
print(*sys.modules)
"""
SDK = """
import sys
import opentelemetry.exporter.prometheus, opentelemetry.sdk.metrics, opentelemetry.sdk.trace
from opentelemetry.sdk.resources import Resource

Resource.create()
print(*sys.modules)
"""
NOT_FOR_THE_FIRST_SCRAPE = {
    *("asyncio", "csv", "decimal", "http.cookiejar", "importlib.metadata", "multiprocessing", "pathlib", "pickle"),
    *("opentelemetry.sdk.trace.export", "requests", "zipfile"),
    "telemetry._base.otel_settings",
    *(f"telemetry.exposition.{name}" for name in ("access", "answer", "asgi", "autoload", "compression", "serve")),
    *(f"telemetry.exposition.{name}" for name in ("openmetrics2", "protobuf", "protobuf_fields")),
    *(f"telemetry.exposition.{name}" for name in ("beside", "beside_openmetrics2", "beside_points", "beside_protobuf")),
    "telemetry.instruments.decimals",
    *(f"telemetry.pipeline.{name}" for name in ("carriable", "otlp", "otlp_http", "outage")),
    *(
        f"telemetry.prefork.{name}"
        for name in ("merge", "run", "run_directory", "shared_labels", "snapshot", "state_directory")
    ),
    *(f"telemetry.prefork.{name}" for name in ("state_server", "workers", "worker_slot")),
    "telemetry.tracing.timer",
}
"""What load only with the first use of it: push, HTTP servers, other formats, workers."""


def run(code: str) -> str:
    """What the code prints in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_shop_loads_nothing_of_agentos() -> None:
    """A service with a catalogue of its own records and is scraped without any module of ``telemetry.agentos``."""
    assert run(SHOP) == "[]"


def test_definitions_load_without_the_sdk() -> None:
    """A module that only defines metrics does not import OpenTelemetry's SDK."""
    code = "import sys; from telemetry import Catalogue; print('opentelemetry.sdk' in sys.modules)"
    assert run(code) == "False"


def test_only_public_names_are_listed() -> None:
    """``dir()`` lists the names of ``__all__`` and the module's own with two underscores, loaded or not."""
    code = "import telemetry; print(*(n for n in dir(telemetry) if not n.startswith('__') or n in telemetry.__all__))"
    assert run(code).split() == sorted(telemetry.__all__)
    assert [name for name in dir(telemetry) if not name.startswith("__")] == sorted(set(telemetry.__all__) - {"__version__"})


def test_metrics_need_no_other_module() -> None:
    """What an application needs to define, record and serve metrics can be imported from ``telemetry``."""
    wanted = {
        *("counter", "up_down_counter", "gauge", "histogram", "info", "observable_counter", "observable_gauge"),
        *("Metric", "Catalogue", "Label", "open_label", "closed_label", "Telemetry", "RequestTimer"),
        *("metrics_app", "make_wsgi_app", "start_http_server", "PrometheusReader", "__version__"),
    }
    assert wanted - set(telemetry.__all__) == set()


@pytest.mark.parametrize(
    ("package", "name"),
    [(package, name) for package in (telemetry, exposition, pipeline, prefork) for name in sorted(package._MODULES)],
)
def test_name_loads(package: ModuleType, name: str) -> None:
    """Each name is the object of its module."""
    assert getattr(package, name) is getattr(import_module(package._MODULES[name]), name)


def test_first_scrape_loads_what_it_needs() -> None:
    """A telemetry that records and answers a first scrape loads no exporter, server, other format or worker."""
    loaded = set(run(FIRST_SCRAPE).split()) - set(run(SDK).split())  # what the SDK itself loads differs between its versions
    assert loaded & NOT_FOR_THE_FIRST_SCRAPE == set()


def test_modules_that_a_first_scrape_leaves_out_exist() -> None:
    """The list above has no module that was renamed since."""
    ours = [name for name in NOT_FOR_THE_FIRST_SCRAPE if name.startswith("telemetry.")]
    assert [name for name in ours if find_spec(name) is None] == []


def test_import_loads_neither_opentelemetry_nor_metadata() -> None:
    """Importing ``telemetry`` alone loads no module of it, of OpenTelemetry, or of ``importlib.metadata``."""
    code = (
        "import sys; before = set(sys.modules); import telemetry; new = set(sys.modules) - before; "
        "print(*(n for n in sorted(new) if n.split('.')[0] in ('telemetry', 'opentelemetry') or n == 'importlib.metadata'))"
    )
    assert run(code) == "telemetry"


def test_version_is_that_of_the_installed_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """``__version__`` is the version that the installed distribution's metadata name."""
    asked = []

    def version(name: str) -> str:
        asked.append(name)
        return "7.8.9"

    monkeypatch.setattr("importlib.metadata.version", version)
    assert (telemetry._version(), asked) == ("7.8.9", ["agentos-telemetry"])


def test_version_of_a_source_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """``__version__`` of a tree that is not installed is the one that the source names."""

    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert telemetry._version() == telemetry._SOURCE_VERSION


def test_unknown_name_is_no_attribute() -> None:
    """A name that the package lacks raises as in any module."""
    with pytest.raises(AttributeError, match="module 'telemetry' has no attribute 'Nothing'"):
        telemetry.Nothing  # noqa: B018 - reading it is the test


def broken_home(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Makes ``telemetry.Broken`` a name of a module with this code."""
    (folder / "broken_home.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(telemetry._MODULES, "Broken", "broken_home")


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("1 / 0", ZeroDivisionError, "division by zero"),
        ("raise TypeError('by itself')", TypeError, "by itself"),
        ("import no_such_module", ModuleNotFoundError, "No module named 'no_such_module'"),
        ("from json import no_such_name", ImportError, "cannot import name 'no_such_name' from 'json'"),
    ],
)
def test_error_of_a_module_that_loads_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[Exception], message: str
) -> None:
    """An error while a module loads reaches the import unchanged, with the line that raised it in its traceback."""
    broken_home(tmp_path, monkeypatch, code)
    with pytest.raises(kind, match=f"^{message}") as caught:
        from telemetry import Broken  # noqa: F401 - importing it is the test
    assert type(caught.value) is kind
    assert caught.traceback[-1].path == tmp_path / "broken_home.py"


def test_attribute_error_of_a_module_that_loads_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AttributeError while a module loads is the cause of the import's error, where Python alone would hide it."""
    broken_home(tmp_path, monkeypatch, "None.missing")
    with pytest.raises(ImportError, match="broken_home cannot be imported: 'NoneType' object has no attribute 'missing'") as it:
        from telemetry import Broken  # noqa: F401 - importing it is the test
    cause = it.value.__cause__
    assert type(cause) is AttributeError
    assert traceback.extract_tb(cause.__traceback__)[-1].filename == str(tmp_path / "broken_home.py")
