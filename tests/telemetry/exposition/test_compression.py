"""Compression of a body by pieces."""

from __future__ import annotations

import gzip
import importlib.util
import io
import random
import sys
import zlib
from collections.abc import Iterator

import pytest

from telemetry.exposition import compression
from telemetry.exposition.compression import available, compressor

PIECES = [f'c_total{{i="{i}"}} {i * 7919}\n'.encode() * 500 for i in range(40)]
BODY = b"".join(PIECES)


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No compression but the standard library's zlib is installed."""
    caches = (compression._gzip, compression._zstd, compression.available)
    for name in ("isal", "zstandard", "compression"):
        monkeypatch.setitem(sys.modules, name, None)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def compressed(coding: str) -> bytes:
    """The body by pieces."""
    made = compressor(coding)
    return b"".join(map(made.compress, PIECES)) + made.flush()


@pytest.fixture
def module(request: pytest.FixtureRequest) -> str:
    """Chooses what makes gzip."""
    if request.param == "zlib":
        request.getfixturevalue("without_packages")
    elif importlib.util.find_spec("isal") is None:
        pytest.skip("isal is not installed")
    return str(request.param)


@pytest.mark.parametrize("module", ["isal", "zlib"], indirect=True)
def test_gzip(module: str) -> None:
    """gzip is one member without a time, which Python's modules read, whole and by pieces."""
    found = compressed("gzip")
    assert gzip.decompress(found) == BODY
    assert found[4:8] == b"\0\0\0\0"
    whole = zlib.decompressobj(31)
    assert (whole.decompress(found), whole.eof, whole.unused_data) == (BODY, True, b"")
    with gzip.GzipFile(fileobj=io.BytesIO(found)) as file:
        assert b"".join(iter(lambda: file.read(1000), b"")) == BODY
    assert len(found) < len(BODY) / 20


@pytest.mark.parametrize("coding", available())
def test_same_body_same_bytes(coding: str) -> None:
    """The same pieces become the same bytes."""
    assert compressed(coding) == compressed(coding)


@pytest.mark.parametrize("coding", available())
def test_nothing(coding: str) -> None:
    """A body without pieces is compressed, too: its end alone is not empty."""
    assert compressor(coding).flush() != b""


def test_zstd() -> None:
    """zstd is one frame, which needs a window of at most 512 KiB to be read."""
    zstandard = pytest.importorskip("zstandard")
    found = compressed("zstd")
    assert zstandard.ZstdDecompressor(max_window_size=1 << 19).decompressobj().decompress(found) == BODY
    assert len(found) < len(BODY) / 20


@pytest.mark.usefixtures("without_packages")
def test_without_packages() -> None:
    """Without the extra ``fast`` there is gzip alone."""
    assert available() == ("gzip",)
    with pytest.raises(LookupError, match="zstd"):
        compressor("zstd")


def test_unknown_coding() -> None:
    """A coding that is not made here is an error."""
    with pytest.raises(LookupError, match="br"):
        compressor("br")


@pytest.mark.parametrize("coding", available())
def test_output_comes_while_pieces_go_in(coding: str) -> None:
    """A compressor gives its output out while it is fed: it does not keep a body."""
    made = compressor(coding)
    out = sum(len(made.compress(random.Random(seed).randbytes(1 << 16))) for seed in range(32))
    assert out > 1 << 20
