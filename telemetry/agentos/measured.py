"""One object for both ways to measure: a block in a ``with`` or ``async with``, or each call of a decorated function."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar

from telemetry._base.decorators import CallBlock, decorated

__all__ = ["Measured"]

P = ParamSpec("P")
R = TypeVar("R")


class _Block(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


B = TypeVar("B", bound=_Block)


class Measured(Generic[B]):
    """Measures one block, or as a decorator each call by itself: functions, coroutines and generators of both kinds.

    A generator is measured from its first step to its end, without the time in which its consumer has an item for what is
    current in a context; the duration is the whole time.

    Args:
        new: Makes the block of a name.
        name: The name; None: that of the decorated function.

    Raises:
        TypeError: The name is a function: the decorator was written without parentheses.
    """

    __slots__ = ("_block", "_name", "_new")

    def __init__(self, new: Callable[[str], B], name: str | None) -> None:
        if callable(name):
            raise TypeError(f"the decorator of {getattr(name, '__qualname__', name)} needs parentheses: @...()")
        self._new = new
        self._name = name
        self._block: B | None = None

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function."""
        name = self._name
        if name is None:
            name = str(getattr(function, "__name__", type(function).__name__))
        return decorated(function, lambda: _Call(self._new(name)))

    def new(self) -> B:
        """Returns a block that has not begun."""
        return self._new("" if self._name is None else self._name)

    def __enter__(self) -> B:
        if self._block is not None:
            raise RuntimeError("it measures one block: make a new one for each block, or use it as a decorator")
        self._block = self.new()
        return self._block.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._block is not None:
            self._block.__exit__(kind, error, traceback)

    async def __aenter__(self) -> B:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class _Call(CallBlock):
    """The block of one call of a decorated function."""

    __slots__ = ("_block",)

    def __init__(self, block: Any) -> None:
        self._block = block

    def __enter__(self) -> Self:
        self._block.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._block.__exit__(kind, error, traceback)

    def pause(self) -> None:
        self._block.pause()

    def resume(self) -> None:
        self._block.resume()
