"""The cache of answers in memory: what it keeps, for how long, and what is counted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agents.services.cache import AnswerCache
from agents.services.storage.bounded_store import BoundedStore
from agents.settings import Settings
from telemetry import AgentOSTelemetry
from tests.helpers.samples import above_zero


@pytest.fixture
def telemetry() -> Iterator[AgentOSTelemetry]:
    """Telemetry in which a wrong label raises."""
    made = AgentOSTelemetry(strict=True)
    yield made
    made.shutdown()


async def stored(cache: AnswerCache, keys: list[str]) -> list[str]:
    return [key for key in keys if await cache.get(key) is not None]


@pytest.mark.parametrize("answer", ["", "hello", "\x00", "\ud83d", "\N{SNOWMAN}" * 1000, "42"])
async def test_each_answer_comes_back_as_it_was(telemetry, answer):
    """Each text is found as it was stored, also half a surrogate pair."""
    cache = AnswerCache(Settings(), telemetry.recorder, None)
    await cache.set("key", answer)
    assert await cache.get("key") == answer
    await cache.delete("key")
    assert await cache.get("key") is None
    found = {"/".join(value for _, value in labels): n for (_, labels), n in above_zero(telemetry, "cache_operations").items()}
    assert found == {"set/ok": 1, "get/hit": 1, "delete/ok": 1, "get/miss": 1}


async def test_answers_take_no_more_bytes_than_the_setting(telemetry):
    """With room for three answers of their size the three newest are found."""
    keys = [f"key {number}" for number in range(10)]
    size = BoundedStore.size_of(keys[0], b"x" * 1000)
    cache = AnswerCache(Settings(cache_bytes=3 * size), telemetry.recorder, None)
    for key in keys:
        await cache.set(key, "x" * 1000)
    assert await stored(cache, keys) == keys[-3:]


async def test_no_more_answers_than_the_setting(telemetry):
    """With a limit of three the three newest answers are found."""
    keys = [f"key {number}" for number in range(10)]
    cache = AnswerCache(Settings(cache_size=3), telemetry.recorder, None)
    for key in keys:
        await cache.set(key, "x")
    assert await stored(cache, keys) == keys[-3:]


@pytest.mark.parametrize("limit", [{"cache_answer_bytes": 100}, {"cache_bytes": 380}])
async def test_a_long_answer_is_not_cached_and_evicts_none(telemetry, limit):
    """An answer beyond the limit of one answer, or of all, leaves the others where they are."""
    cache = AnswerCache(Settings(**limit), telemetry.recorder, None)
    await cache.set("short", "x")
    await cache.set("long", "x" * 101)
    assert await stored(cache, ["short", "long"]) == ["short"]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_a_jump_of_the_wall_clock_keeps_the_answers(telemetry, monkeypatch, jump):
    """Answers stay for their time when the wall clock jumps by an hour."""
    cache = AnswerCache(Settings(), telemetry.recorder, None)
    await cache.set("key", "answer")
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + jump)
    assert await cache.get("key") == "answer"
