"""What Redis replies can be anything: never a wrong answer, never an exception, and one key concerns no other."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest

from agents.middleware.rate_limit import Limiter, Refusal
from agents.services.cache import AnswerCache
from agents.services.storage.redis_guard import RedisGuard, RedisUnavailable
from agents.services.storage.redis_replies import milliseconds
from agents.settings import Settings
from telemetry import AgentOSTelemetry
from tests.helpers.replying_redis import Reply, replying_redis
from tests.helpers.samples import above_zero

KEY = AnswerCache.key("navi", "query", "w", "hello")
ANSWER = "an answer \N{SNOWMAN}"
PASSWORD = "pass-0123456789"


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(value), value)


def sealed(key: str, answer: bytes, version: bytes = b"agentos-answer/2") -> bytes:
    digest = hashlib.sha256(key.encode() + b"\n" + answer).hexdigest()
    return version + b" " + digest.encode() + b"\n" + answer


RIGHT = sealed(KEY, ANSWER.encode())

ALLOWED = b"*2\r\n:0\r\n:0\r\n"
"""The limiter's script has counted the request."""
ERRORS = [
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    b"-READONLY You can't write against a read only replica.\r\n",
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    b"-NOSCRIPT No matching script.\r\n",
    b"-BUSY Redis is busy running a script.\r\n",
    b"-MOVED 3999 127.0.0.1:6381\r\n",
    b"-ASK 3999 127.0.0.1:6381\r\n",
    b"-MASTERDOWN Link with MASTER is down\r\n",
    b"-CLUSTERDOWN The cluster is down\r\n",
    b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
    b"-NOPERM this user has no permissions\r\n",
    b"-MISCONF Redis is configured to save RDB snapshots\r\n",
    b"-ERR value is not an integer or out of range\r\n",
    b"-ERR increment or decrement would overflow\r\n",
    b"-\xff\xfe\x00\r\n",
    b"-\r\n",
]
"""Errors that Redis answers promptly."""
BROKEN = [
    b"-NOAUTH Authentication required.\r\n",
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-ASK\r\n",
    b"-ERR max number of clients reached\r\n",
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"220 mail.example.com ESMTP\r\n",
    b"\x15\x03\x01\x00\x02\x02\x50\r\n",
    b":no number\r\n",
    b":\r\n",
    b"$no number\r\n",
    b"$-5\r\n",
    b"*no number\r\n",
    b"\r\n",
    b"\n",
    b"?\r\n",
    b"$100\r\ncut off",
    b"$99999999999999\r\nendless",
    b"*2\r\n:1\r\n",
    b"*1000000000\r\n" + b":1\r\n" * 1000,
    b"*1\r\n" * 5000 + b":1\r\n",
    b"x" * 300_000,
    b"",
]
"""Replies after which a connection cannot be used, or that do not come."""


@dataclass(frozen=True)
class Storage:
    """A cache and a limiter with one guard, which pauses for an hour."""

    cache: AnswerCache
    limiter: Limiter
    telemetry: AgentOSTelemetry

    def operations(self) -> dict[str, float]:
        """Returns operation/result -> count."""
        found = above_zero(self.telemetry, "cache_operations_total")
        return {"/".join(value for _, value in labels): count for (_, labels), count in found.items()}


Connect = Callable[..., Awaitable[Storage]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects cache and limiter to a server that gives these replies."""
    async with AsyncExitStack() as stack:

        async def connected(reply: Reply, redis_timeout: float = 5.0, **given: object) -> Storage:
            url = await stack.enter_async_context(replying_redis(reply))
            url = url.replace("redis://", f"redis://user:{PASSWORD}@")
            settings = Settings(redis_url=url, redis_timeout=redis_timeout, **given)
            telemetry = AgentOSTelemetry(strict=True)
            stack.callback(telemetry.shutdown)
            guard = RedisGuard(settings.redis_timeout, pause=3600)
            storage = Storage(AnswerCache(settings, telemetry.recorder, guard), Limiter(settings, guard), telemetry)
            await stack.enter_async_context(storage.cache.lifespan())
            await stack.enter_async_context(storage.limiter.lifespan())
            return storage

        yield connected


@pytest.mark.parametrize("reply", ERRORS)
async def test_an_error_concerns_its_own_command(connect: Connect, reply: bytes) -> None:
    """A prompt error is a miss that counts as ``error``; the next command is sent all the same."""
    replies = [reply, reply, reply, bulk(RIGHT)]
    storage = await connect(lambda _: replies.pop(0))
    assert await storage.cache.get(KEY) is None
    await storage.cache.set(KEY, ANSWER)
    await storage.cache.delete(KEY)
    assert await storage.cache.get(KEY) == ANSWER
    assert storage.operations() == {"get/error": 1, "set/error": 1, "delete/error": 1, "get/hit": 1}


@pytest.mark.parametrize("reply", ERRORS)
async def test_an_error_fails_its_own_decision(connect: Connect, reply: bytes) -> None:
    """A prompt error fails the limiter's decision; the next one is made by Redis."""
    failing = True
    storage = await connect(lambda _: reply if failing else ALLOWED)
    with pytest.raises(RedisUnavailable):
        await storage.limiter.decide("client", "workspace", "/route")
    failing = False
    assert await storage.limiter.decide("client", "workspace", "/route") is None


@pytest.mark.parametrize("reply", BROKEN)
async def test_a_broken_connection_is_an_outage(connect: Connect, reply: bytes) -> None:
    """Bytes that are no reply, or an endless one, are a failed operation; afterwards Redis is left alone for the pause."""
    asked = []
    storage = await connect(lambda words: asked.append(words) or reply, redis_timeout=0.3)  # type: ignore[func-returns-value]
    assert await storage.cache.get(KEY) is None
    with pytest.raises(RedisUnavailable):
        await storage.limiter.decide("client", "workspace", "/route")
    assert (storage.operations(), len(asked)) == ({"get/error": 1}, 1)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"hello",
        b"42",
        b"-1",
        b"null",
        b'"an answer"',
        b'{"a":1}',
        b"[]",
        b"NaN",
        b"\x80\x04",
        pickle.dumps(ANSWER),
        b"\xff\xfe\x00",
        b"agentos-answer/2",
        b"agentos-answer/2 \n",
        RIGHT[:-1],
        RIGHT + b" ",
        RIGHT[1:],
        RIGHT.replace(b" ", b"\n", 1),
        RIGHT.upper(),
        RIGHT.replace(b"\n", b"\r\n"),
        sealed(AnswerCache.key("navi", "query", "other", "hello"), ANSWER.encode()),
        sealed(KEY, ANSWER.encode(), b"agentos-answer/1"),
        sealed(KEY, ANSWER.encode(), b"agentos-answer/3"),
        RIGHT * 10_000,
        sealed(KEY, b"\xff\xfe"),
    ],
)
async def test_a_foreign_value_is_a_miss(connect: Connect, value: bytes) -> None:
    """A value that is not this key's answer in this version's format, whole, is a miss."""
    storage = await connect(bulk(value))
    assert await storage.cache.get(KEY) is None
    assert storage.operations() == {"get/miss": 1}


@pytest.mark.parametrize(
    "reply", [b":1\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"*2\r\n$1\r\na\r\n:1\r\n", b"*1\r\n-ERR x\r\n"]
)
async def test_another_shape_is_an_error(connect: Connect, reply: bytes) -> None:
    """A reply of another shape than bytes counts as ``error`` and concerns no other command."""
    replies = [reply, bulk(RIGHT)]
    storage = await connect(lambda _: replies.pop(0))
    assert [await storage.cache.get(KEY), await storage.cache.get(KEY)] == [None, ANSWER]
    assert storage.operations() == {"get/error": 1, "get/hit": 1}


@pytest.mark.parametrize("reply", [b":1\r\n", b"$-1\r\n", b"+QUEUED\r\n", b"*0\r\n", bulk(b"OK then")])
async def test_only_ok_stores(connect: Connect, reply: bytes) -> None:
    """An answer is stored where Redis replies OK, and nowhere else."""
    storage = await connect(reply)
    await storage.cache.set(KEY, ANSWER)
    assert storage.operations() == {"set/error": 1}


@pytest.mark.parametrize("reply", [b"+OK\r\n", b"$-1\r\n", b"*0\r\n", bulk(b"1")])
async def test_a_deletion_is_counted_by_redis(connect: Connect, reply: bytes) -> None:
    """A deletion whose reply is no number counts as ``error``."""
    storage = await connect(reply)
    await storage.cache.delete(KEY)
    assert storage.operations() == {"delete/error": 1}


async def test_a_huge_value_is_read_as_far_as_an_answer_reaches(connect: Connect) -> None:
    """Of a value Redis is asked for one byte more than the longest answer takes."""
    asked: list[tuple[bytes, ...]] = []
    storage = await connect(lambda words: asked.append(words) or bulk(b"x" * 1083), cache_answer_bytes=1000)  # type: ignore[func-returns-value]
    assert await storage.cache.get(KEY) is None
    assert asked == [(b"GETRANGE", KEY.encode(), b"0", b"1082")]
    assert len(sealed(KEY, b"x" * 1000)) == 1082


async def test_a_long_answer_is_not_stored(connect: Connect) -> None:
    """An answer with more bytes than the setting allows is not sent; one with as many is."""
    asked: list[bytes] = []
    storage = await connect(lambda words: asked.append(words[2]) or b"+OK\r\n", cache_answer_bytes=3)  # type: ignore[func-returns-value]
    for answer in ("four", "\N{SNOWMAN}!", "\N{SNOWMAN}", "one"):
        await storage.cache.set(KEY, answer)
    assert asked == [sealed(KEY, "\N{SNOWMAN}".encode()), sealed(KEY, b"one")]
    assert storage.operations() == {"set/ok": 4}


@pytest.mark.parametrize("answer", ["", "\n", "a\nb\r\n", "\x00", "\ud83d", "\N{SNOWMAN}" * 1000, "42"])
async def test_each_answer_comes_back_as_it_was(connect: Connect, answer: str) -> None:
    """Each text is found as it was stored: empty, with line ends, digits alone, half a surrogate pair."""
    stored: dict[bytes, bytes] = {}

    def redis(words: tuple[bytes, ...]) -> bytes:
        if words[0] == b"SET":
            stored[words[1]] = words[2]
            return b"+OK\r\n"
        return bulk(stored.get(words[1], b""))

    storage = await connect(redis)
    await storage.cache.set(KEY, answer)
    assert await storage.cache.get(KEY) == answer


@pytest.mark.parametrize(
    ("seconds", "sent"), [(1e-9, 1), (0.0015, 2), (0.5, 500), (60, 60_000), (1e300, 2**53), (10**400, 2**53), (0, 1)]
)
def test_an_expiry_is_one_that_redis_takes(seconds: float, sent: int) -> None:
    """An expiry is sent in whole milliseconds, at least 1 and not beyond what Redis and its scripts can hold."""
    assert milliseconds(seconds) == sent


@pytest.mark.parametrize(("ttl", "px"), [(0.001, b"1"), (0.5, b"500"), (300.0, b"300000"), (1e9, b"1000000000000")])
async def test_an_answer_has_the_expiry_of_the_setting(connect: Connect, ttl: float, px: bytes) -> None:
    """An answer is stored with its time in milliseconds."""
    asked: list[tuple[bytes, ...]] = []
    storage = await connect(lambda words: asked.append(words) or b"+OK\r\n", cache_ttl=ttl)  # type: ignore[func-returns-value]
    await storage.cache.set(KEY, ANSWER)
    assert asked == [(b"SET", KEY.encode(), RIGHT, b"PX", px)]


WRONG_COUNTS = [
    b"+OK\r\n",
    b"$-1\r\n",
    bulk(b"many"),
    bulk(b"1.5"),
    bulk(b"9" * 30),
    b":0\r\n",
    b":-5\r\n",
    b"*0\r\n",
    b"*1\r\n:1\r\n",
    b"*3\r\n:1\r\n:1\r\n:1\r\n",
    b"*2\r\n$-1\r\n:0\r\n",
    b"*2\r\n:0\r\n$-1\r\n",
    b"*2\r\n:3\r\n:1\r\n",
    b"*2\r\n:-1\r\n:1\r\n",
    b"*2\r\n:1\r\n:-1\r\n",
    b"*2\r\n:1\r\n+soon\r\n",
    b"*2\r\n*0\r\n:1\r\n",
]


@pytest.mark.parametrize("reply", WRONG_COUNTS)
async def test_a_count_of_another_shape_is_no_decision(connect: Connect, reply: bytes) -> None:
    """A reply that is no count fails the decision, and does not keep the next one from Redis."""
    replies = [reply, ALLOWED]
    storage = await connect(lambda _: replies.pop(0))
    with pytest.raises(RedisUnavailable):
        await storage.limiter.decide("client", "workspace", "/route")
    assert await storage.limiter.decide("client", "workspace", "/route") is None


@pytest.mark.parametrize(("left", "seconds"), [(b":30000\r\n", 30), (b":29001\r\n", 30), (b":0\r\n", 1), (bulk(b"2000"), 2)])
async def test_a_refusal_names_its_seconds(connect: Connect, left: bytes, seconds: int) -> None:
    """A refusal names the full window and its rest, at least a second."""
    storage = await connect(b"*2\r\n:1\r\n" + left, client_rate_limit="off")
    assert await storage.limiter.decide("client", "workspace", "/route") == Refusal("workspace", seconds)


async def test_a_decision_is_one_command(connect: Connect) -> None:
    """All limits of a request are decided by one command with a key for each."""
    asked: list[tuple[bytes, ...]] = []
    storage = await connect(lambda words: asked.append(words) or ALLOWED, rate_limit="5/second;6/minute")  # type: ignore[func-returns-value]
    assert await storage.limiter.decide("client", "workspace", "/route") is None
    assert [(words[0], words[2], words[6:]) for words in asked] == [
        (b"EVALSHA", b"3", (b"600", b"60000", b"5", b"1000", b"6", b"60000"))
    ]


async def test_a_long_key_is_sent_as_its_digest(connect: Connect) -> None:
    """A client's name of 30,000 characters makes a key of a fixed length."""
    asked: list[bytes] = []
    storage = await connect(lambda words: asked.append(words[3]) or ALLOWED, rate_limit="off")  # type: ignore[func-returns-value]
    assert await storage.limiter.decide("x" * 30_000, "workspace", "/route") is None
    assert await storage.limiter.decide("client", "workspace", "/route") is None
    assert len(asked[0]) == len("LIMITS:") + 64
    assert asked[1].startswith(b"LIMITS:")
    assert b"/client/" in asked[1]


async def test_the_log_names_the_code_once(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """Replies that cannot be used log one line a minute with the code alone: the text can repeat the password."""
    caplog.set_level(logging.DEBUG)
    storage = await connect(b"-ERR unknown command, with args beginning with: '" + PASSWORD.encode() + b"'\r\n")
    for _ in range(5):
        await storage.cache.get(KEY)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("agents.")]
    assert lines == ["Redis answers with what cannot be used, which counts as an error: ResponseError ERR"]
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(("on_error", "status"), [("allow", 200), ("deny", 503)])
@pytest.mark.parametrize("reply", [ERRORS[0], BROKEN[4], b"*0\r\n"])
async def test_a_run_is_answered_whatever_redis_replies(start, on_error: str, status: int, reply: bytes) -> None:  # type: ignore[no-untyped-def]
    """With a Redis that replies nonsense a run is answered, or refused with 503, as the setting says; never with a 500."""
    async with replying_redis(reply) as url:
        service = await asyncio.to_thread(start, redis_url=url, redis_timeout=5.0, rate_limit_on_error=on_error)
        answer: httpx.Response = await asyncio.to_thread(service.run, "navi")
        assert answer.status_code == status
        assert await asyncio.to_thread(service.counted, "rate_limit_hits_total") == {"/agents/{agent}/runs/error/unknown": 1}
