"""What the route of a request says, kept for its method and path: matching the routes is slow, and was done twice a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

__all__ = ["RouteMemo"]

T = TypeVar("T")

_MOST = 256
_LONGEST = 256


class RouteMemo(Generic[T]):
    """Calls a function of a request's route, method and path, and keeps its results.

    Results are kept for at most ``_MOST`` requests, whose method and path have ``_LONGEST`` characters at most together. They
    are dropped when the application gets another route. Where a route is matched by more than method and path, as mounts and
    hosts are, nothing is kept.

    Args:
        function: Matches the routes of ``scope["app"]``. Its results must not be changed.
    """

    def __init__(self, function: Callable[[Scope], T]) -> None:
        self._function = function
        self._routes: list[BaseRoute] = []
        self._keeps = False
        self._results: dict[tuple[str, str, str], T] = {}

    def __call__(self, scope: Scope) -> T:
        """Returns what the function returns for the request."""
        routes: Sequence[BaseRoute] = scope["app"].routes
        if routes != self._routes:
            self._keeps = all(isinstance(one.original_route, Route) for one in iter_route_contexts(routes))
            self._results = {}
            self._routes = list(routes)
        if scope["type"] != "http" or not self._keeps:
            return self._function(scope)
        key = (scope["method"], scope["path"], scope.get("root_path", ""))
        results = self._results
        try:
            return results[key]
        except KeyError:
            pass
        result = self._function(scope)
        if sum(map(len, key)) <= _LONGEST:
            if len(results) >= _MOST:
                results.clear()
            results[key] = result
        return result
