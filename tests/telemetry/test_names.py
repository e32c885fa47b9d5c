"""The names of the package ``telemetry``, which load on first use."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import telemetry

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


def test_all_names_are_listed_and_load() -> None:
    """``dir()`` lists every name of ``__all__``, loaded or not, and each is the object of its module."""
    assert set(telemetry.__all__) <= set(dir(telemetry))
    for name in telemetry.__all__:
        assert getattr(telemetry, name) is getattr(import_module(telemetry._MODULES[name]), name)


def test_unknown_name_is_no_attribute() -> None:
    """A name that the package lacks raises as in any module."""
    with pytest.raises(AttributeError, match="module 'telemetry' has no attribute 'Nothing'"):
        telemetry.Nothing  # noqa: B018 - reading it is the test


def test_error_of_a_module_that_loads_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AttributeError while a module loads is the cause of the import's error, where Python alone would hide it."""
    (tmp_path / "broken_home.py").write_text("None.missing")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(telemetry._MODULES, "Broken", "broken_home")
    with pytest.raises(ImportError, match="broken_home cannot be imported: 'NoneType' object has no attribute 'missing'"):
        from telemetry import Broken  # noqa: F401 - importing it is the test
