"""Names of a package that load on first use: importing one module of it does not import the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

__all__ = ["load_name", "names_on_first_use"]


def load_name(namespace: dict[str, Any], modules: Mapping[str, str], name: str) -> Any:
    """Loads a name of a package, which stays in the package's namespace.

    Args:
        namespace: The ``globals()`` of the package.
        modules: Name -> the module that has it.
        name: The name.

    Raises:
        AttributeError: The package has no such name.
        ImportError: The module raises an ``AttributeError``, or lacks the name.
    """
    if name not in modules:
        raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
    try:
        value = namespace[name] = getattr(import_module(modules[name]), name)
    except AttributeError as error:
        # ``from package import name`` would turn an AttributeError, and no other error, into "cannot import name".
        raise ImportError(f"{modules[name]} cannot be imported: {error}") from error
    return value


def names_on_first_use(
    namespace: dict[str, Any], modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns a package's ``__getattr__`` and ``__dir__``. Arguments as in ``load_name``."""

    def listed() -> list[str]:
        return sorted({*modules, *namespace})

    return partial(load_name, namespace, modules), listed
