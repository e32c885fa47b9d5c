"""Cost: tokens times the operator's prices, to the last digit."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.settings import Settings, SettingsError
from agents.settings.prices import Prices
from telemetry.agentos.tokens import Tokens

PRICE = st.decimals(0, 1000, places=6)
COUNT = st.integers(0, 10_000_000)


KINDS = ("input", "cached", "cache_write", "output", "reasoning")


@given(st.tuples(*[PRICE] * len(KINDS)), st.tuples(*[COUNT] * len(KINDS)))
def test_cost_is_exact(price, counts):
    """The cost is exactly the sum of tokens times price of each kind."""
    plain, cached, cache_write, answered, reasoning = counts
    prices = Prices({"m": dict(zip(KINDS, price, strict=True))})
    read, output = plain + cached + cache_write, answered + reasoning
    tokens = Tokens(
        *(read, output, read + output), cached_tokens=cached, cache_write_tokens=cache_write, reasoning_tokens=reasoning
    )
    cost = prices.cost("p", "m", tokens)
    assert cost is not None
    assert Fraction(cost) == sum(Fraction(p) * n for p, n in zip(price, counts, strict=True)) / 1_000_000


def written(path: Path, **content: object) -> str:
    path.write_text(json.dumps({"models": {}} | content))
    return str(path)


def test_file_is_read_as_decimals(tmp_path):
    """Prices are decimals, from numbers or text; a kind without a price takes that of its direction."""
    models = {"m": {"input": 0.1, "output": "0.3"}, "backup/m": {"input": 1, "output": 2, "cached": 0, "reasoning": 3}}
    prices = Prices.read(written(tmp_path / "prices.json", models=models, per=1000))
    usage = Tokens(4, 2, cached_tokens=1, reasoning_tokens=1)
    assert prices.cost("main", "m", usage) == Decimal("0.001")
    assert prices.cost("backup", "m", usage) == Decimal("0.008")


def test_tokens_written_to_the_cache_have_a_price(tmp_path):
    """Tokens written to the cache cost what the file says, else what input costs."""
    models = {"m": {"input": 1, "output": 8, "cache_write": "1.25"}, "n": {"input": 1, "output": 8}}
    prices = Prices.read(written(tmp_path / "prices.json", models=models))
    usage = Tokens(1_000_000, 0, cached_tokens=200_000, cache_write_tokens=400_000)
    assert prices.cost("p", "m", usage) == Decimal("1.1")
    assert prices.cost("p", "n", usage) == 1


def test_model_that_answered_comes_first(tmp_path):
    """The price is that of the model that answered, else of the model that was asked for."""
    prices = Prices({"m": {"input": Decimal(1)}, "m-2026": {"input": Decimal(2)}}, per=1)
    assert prices.cost("p", "m", Tokens(1, model="m-2026")) == 2
    assert prices.cost("p", "m", Tokens(1, model="m-2027")) == 1
    assert prices.cost("p", "x", Tokens(1, model="y")) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"models": []}, 'it has no "models", an object of prices by model'),
        ({"currency": "EUR"}, "its \"currency\" is 'EUR'; the cost is counted in USD"),
        ({"per": 7}, 'its "per" is 7; prices are for 1, 1000 or 1000000 tokens'),
        ({"models": {"m": {"input": 1}}}, "the prices of 'm' need input and output"),
        ({"models": {"m": {"input": 1, "output": 1, "image": 1}}}, "the prices of 'm' need input and output"),
        ({"models": {"m": {"input": -1, "output": 1}}}, "the price of 'm', input is '-1'; a number from 0 on is needed"),
        ({"models": {"m": {"input": "x", "output": 1}}}, "the price of 'm', input is 'x'"),
        ({"models": {"m": {"input": float("nan"), "output": 1}}}, "NaN is no number"),
        ({"models": {"m": {"input": True, "output": 1}}}, "the price of 'm', input is 'True'"),
    ],
)
def test_unusable_file_is_one_sentence(tmp_path, content, says):
    """A file that cannot be used is one sentence with the setting's name and what is wrong."""
    path = written(tmp_path / "prices.json", **content)
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({"AGENTOS_PRICES": path})
    assert str(error.value).startswith(f"AGENTOS_PRICES is {path!r}: ")
    assert says in str(error.value)


def test_file_that_is_not_there_is_one_sentence():
    """A path without a file is one sentence."""
    with pytest.raises(SettingsError, match=r"AGENTOS_PRICES is '/nowhere': it cannot be read \(No such file or directory\)\."):
        Settings(prices="/nowhere")
