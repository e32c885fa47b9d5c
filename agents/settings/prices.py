"""The prices of tokens: the operator's own, read from a file. There are no default prices.

The file is JSON: US dollars for a million tokens, by model, or by provider and model where providers differ.

    {"currency": "USD", "per": 1000000,
     "models": {"small": {"input": 0.15, "cached": 0.075, "cache_write": 0.1875, "output": 0.60},
                "backup/small": {"input": "0.20", "output": "0.80", "reasoning": "0.90"}}}

``cached`` and ``cache_write`` cost what ``input`` costs unless they are given, ``reasoning`` what ``output`` costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from agents.settings.reading import read_text
from telemetry._base.json_text import parse_json
from telemetry._base.printable import printable, shown
from telemetry.agentos.tokens import Tokens

__all__ = ["Prices"]

_HIGHEST = 10**9
"""Highest price in USD: a cost stays within what a counter takes."""
_FALLBACK = {"input": "input", "cached": "input", "cache_write": "input", "output": "output", "reasoning": "output"}
"""Kind of tokens -> the kind whose price it takes if it has none of its own."""


class Prices:
    """Prices in USD by name and kind of tokens, each for ``per`` tokens."""

    def __init__(self, prices: Mapping[str, Mapping[str, Decimal]] | None = None, per: int = 1_000_000) -> None:
        self._prices = dict(prices or {})
        self._per = per

    @classmethod
    def read(cls, path: str) -> Prices:
        """Reads the prices of a file; no prices for an empty ``path``.

        Raises:
            ValueError: The file cannot be used; the message says why.
        """
        if not path:
            return cls()
        content = parse_json(read_text(path), Decimal)
        if not isinstance(content, dict) or not isinstance(content.get("models"), dict):
            raise ValueError('it has no "models", an object of prices by model')
        if content.get("currency", "USD") != "USD":
            raise ValueError(f'its "currency" is {shown(content["currency"])}; the cost is counted in USD')
        per = content.get("per", Decimal(1_000_000))
        if per not in (1, 1000, 1_000_000):
            raise ValueError(f'its "per" is {printable(per, 100)}; prices are for 1, 1000 or 1000000 tokens')
        return cls({name: _prices(name, given) for name, given in content["models"].items()}, int(per))

    def __bool__(self) -> bool:
        """Whether any model has a price."""
        return bool(self._prices)

    def cost(self, provider: str, asked: str, tokens: Tokens) -> Decimal | None:
        """Returns the exact cost of the tokens in USD, ``None`` for a model without a price.

        The price is that of the model that answered, else of the model that was asked for: price lists often have the plain
        name of a dated model.
        """
        models = [name for name in (tokens.model, asked) if name]
        names = [name for model in models for name in (f"{provider}/{model}", model)]
        price = next((self._prices[name] for name in names if name in self._prices), None)
        if price is None:
            return None
        return sum((price[kind] * count for kind, count in tokens.kinds.items() if kind in price), Decimal(0)) / self._per


def _prices(name: str, given: Any) -> Mapping[str, Decimal]:
    if not isinstance(given, dict) or not {"input", "output"} <= set(given) <= set(_FALLBACK):
        raise ValueError(
            f"the prices of {shown(name)} need input and output, and may have cached, cache_write and reasoning, nothing else"
        )
    return {kind: _amount(given.get(kind, given[other]), f"{shown(name)}, {kind}") for kind, other in _FALLBACK.items()}


def _amount(value: Any, what: str) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, str | Decimal) else None
    except ArithmeticError:
        number = None
    if number is None or not number.is_finite() or not 0 <= number <= _HIGHEST or len(number.as_tuple().digits) > 30:
        raise ValueError(f"the price of {what} is {shown(str(value))}; a number from 0 on is needed, at most {_HIGHEST}")
    return number
