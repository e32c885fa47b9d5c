"""Names of a package that load on first use."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package with a name of ``shop.orders`` and one of ``shop.broken``."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from telemetry._base.lazy import names_on_first_use\n"
        "MODULES = {'ORDERS': 'shop.orders', 'BROKEN': 'shop.broken', 'MISSING': 'shop.orders'}\n"
        "__getattr__, __dir__ = names_on_first_use(globals(), MODULES)\n"
    )
    (folder / "orders.py").write_text("ORDERS = ['north']\n")
    (folder / "broken.py").write_text("None.missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shop", "shop.orders", "shop.broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import shop  # type: ignore[import-not-found]  # made above

    return shop  # type: ignore[no-any-return]


def test_a_name_loads_its_module_when_it_is_read(shop: Any) -> None:
    """The package alone does not load the module; reading the name does, once."""
    assert "shop.orders" not in sys.modules
    assert shop.ORDERS == ["north"]
    assert vars(shop)["ORDERS"] is sys.modules["shop.orders"].ORDERS


def test_names_are_listed_before_they_are_loaded(shop: Any) -> None:
    """``dir()`` lists the names, loaded or not."""
    assert [name for name in dir(shop) if name.isupper()] == ["BROKEN", "MISSING", "MODULES", "ORDERS"]


def test_an_unknown_name_is_no_attribute(shop: Any) -> None:
    """A name that the package lacks raises as in any module."""
    with pytest.raises(AttributeError, match=r"^module 'shop' has no attribute 'Nothing'$"):
        shop.Nothing  # noqa: B018 - reading it is the test


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("BROKEN", "shop.broken cannot be imported: 'NoneType' object has no attribute 'missing'"),
        ("MISSING", "shop.orders cannot be imported: module 'shop.orders' has no attribute 'MISSING'"),
    ],
)
def test_an_attribute_error_of_the_module_is_shown(shop: Any, name: str, message: str) -> None:
    """An AttributeError while the module loads is an ImportError that says where, which ``from`` would hide."""
    with pytest.raises(ImportError, match=f"^{message}$") as caught:
        getattr(shop, name)
    assert type(caught.value.__cause__) is AttributeError
