"""Names of a package that load on first use: importing one module of it does not import the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["names_on_first_use"]


def names_on_first_use(
    namespace: dict[str, Any], modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns a package's ``__getattr__`` and ``__dir__``.

    Args:
        namespace: The ``globals()`` of the package. A name stays there once it is loaded.
        modules: Name -> the module that has it.
    """
    package: str = namespace["__name__"]

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = namespace[name] = getattr(import_module(modules[name]), name)
        except AttributeError as error:
            # ``from package import name`` would turn an AttributeError, and no other error, into "cannot import name".
            raise ImportError(f"{modules[name]} cannot be imported: {error}") from error
        return value

    def listed() -> list[str]:
        return sorted({*modules, *namespace})

    return load, listed
