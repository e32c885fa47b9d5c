"""Fields of protobuf messages: varints, doubles, texts, timestamps, and the label pairs and exemplars of Prometheus.

Written by hand, so that a scrape needs no protobuf runtime. https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import inf
from struct import Struct, error, pack
from typing import Any

__all__ = [
    "LANE",
    "VARINTS",
    "double",
    "doubles",
    "exemplar",
    "label_pairs",
    "message",
    "sint",
    "text",
    "timestamp",
    "varint",
    "varint_lanes",
]

LANE = 8
"""Bytes between the beginnings of two varints of ``varint_lanes``."""

_KEPT = 1 << 14
"""Numbers below have varints of at most two bytes, which are kept."""
_MAX_UINT64 = (1 << 64) - 1
_SECOND = 1_000_000_000
_double = Struct("<d").pack


def varint(number: int) -> bytes:
    """Returns an ``int64`` or ``uint64``; the largest one for a number above it."""
    if 1 << 28 <= number < 1 << 35:  # the times of exemplars
        return bytes(
            (
                number & 0x7F | 0x80,
                number >> 7 & 0x7F | 0x80,
                number >> 14 & 0x7F | 0x80,
                number >> 21 & 0x7F | 0x80,
                number >> 28,
            )
        )
    if number < 0:
        number &= _MAX_UINT64
    elif number > _MAX_UINT64:
        number = _MAX_UINT64
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


class _Varints(dict[int, bytes]):
    def __missing__(self, number: int) -> bytes:
        encoded = varint(number)
        if 0 <= number < _KEPT:
            self[number] = encoded
        return encoded


VARINTS = _Varints()
"""Number -> its varint."""


def varint_lanes(numbers: Sequence[int], width: int) -> bytes:
    """Returns numbers as varints of one width, each in a lane of ``LANE`` bytes: all of them at the price of a few additions.

    A varint may be longer than its number needs; the conformance tests of protobuf ask every decoder to read it.

    Args:
        numbers: Each below ``1 << 7 * width``.
        width: Bytes of a varint, 1 to ``LANE``.
    """
    masks, spread = _masks(len(numbers), width)
    packed = int.from_bytes(pack(f"<{len(numbers)}Q", *numbers), "little")
    for group, mask in enumerate(masks):
        spread |= (packed & mask) << group
    return spread.to_bytes(LANE * len(numbers), "little")


@lru_cache(maxsize=16)
def _masks(lanes: int, width: int) -> tuple[tuple[int, ...], int]:
    """Returns the mask of each group of seven bits in all lanes, and the bits that say that a varint goes on."""
    groups = [(0x7F << 7 * group).to_bytes(LANE, "little") for group in range(width)]
    more = b"\x80" * (width - 1) + bytes(LANE - width + 1)
    return tuple(int.from_bytes(group * lanes, "little") for group in groups), int.from_bytes(more * lanes, "little")


def sint(number: int) -> bytes:
    """Returns a ``sint32`` or ``sint64``."""
    return VARINTS[number << 1 if number >= 0 else (-number << 1) - 1]


def double(value: Any) -> bytes:
    """Returns a ``double``; an infinite one for an integer that is larger than every float."""
    try:
        return _double(value)
    except (OverflowError, error):
        return _double(inf if value > 0 else -inf)


def doubles(values: Sequence[Any]) -> bytes:
    """Returns the bytes of several ``double``."""
    try:
        return pack(f"<{len(values)}d", *values)
    except (OverflowError, error):
        return b"".join(map(double, values))


def message(tag: int, content: bytes) -> bytes:
    """Returns a field that holds a message or bytes.

    Args:
        tag: The field's number shifted by 3, and 2.
        content: The message.
    """
    return b"%b%b%b" % (VARINTS[tag], VARINTS[len(content)], content)


def text(tag: int, value: str) -> bytes:
    """Returns a field that holds a text; ``?`` for what UTF-8 cannot encode."""
    return message(tag, value.encode("utf-8", "replace"))


def timestamp(unix_nano: int) -> bytes:
    """Returns a ``google.protobuf.Timestamp``, exact to the nanosecond."""
    seconds, nanos = divmod(unix_nano, _SECOND)
    return (b"\x08" + varint(seconds) if seconds else b"") + (b"\x10" + varint(nanos) if nanos else b"")


def label_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Returns the fields ``label`` of a ``Metric`` or an ``Exemplar``; both have the number 1."""
    return b"".join([message(0x0A, text(0x0A, name) + text(0x12, value)) for name, value in pairs])


def exemplar(pairs: Iterable[tuple[str, str]], value: Any, unix_nano: int | None) -> bytes:
    """Returns an ``Exemplar``.

    Args:
        pairs: Its labels.
        value: The measurement.
        unix_nano: When it was made, in Unix nanoseconds; None where that is not known.
    """
    time = b"" if unix_nano is None else message(0x1A, timestamp(unix_nano))
    return b"%b\x11%b%b" % (label_pairs(pairs), double(value), time)
