"""Compression of bodies that are made piece by piece: gzip, and zstd where a library for it is installed.

gzip is made by ``isal`` (Intel's ISA-L) if the extra ``fast`` is installed: it takes about a quarter of the time that zlib
takes at its fastest level, for a body of nearly the same size. Without it zlib does it. A body is one gzip member (or one zstd
frame) without a time, so that the same pieces always become the same bytes. A compressor needs less than 1 MiB, however long
the body.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Protocol

__all__ = ["Compressor", "available", "compressor"]

_GZIP = zlib.MAX_WBITS | 16
_LEVEL = 1
"""The fastest level of isal, zlib and zstd that finds most repetitions: higher ones save little of a scrape's text."""
_WINDOW_LOG = 19


class Compressor(Protocol):
    """Makes one compressed body of the pieces that it is given in turn."""

    def compress(self, data: bytes, /) -> bytes:
        """Takes the next piece; returns what is ready of the compressed body, which may be nothing."""

    def flush(self) -> bytes:
        """Returns the end of the compressed body."""


@cache
def available() -> tuple[str, ...]:
    """Returns the content codings that ``compressor`` makes here."""
    return ("zstd", "gzip") if _zstd() is not None else ("gzip",)


def compressor(coding: str) -> Compressor:
    """Returns a new compressor.

    Args:
        coding: One of ``available()``.

    Raises:
        LookupError: The coding is another one.
    """
    make = {"gzip": _gzip(), "zstd": _zstd()}[coding]
    if make is None:
        raise LookupError(coding)
    return make()


@cache
def _gzip() -> Callable[[], Compressor]:
    try:
        from isal import isal_zlib
    except ImportError:
        return lambda: zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return lambda: isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)


@cache
def _zstd() -> Callable[[], Compressor] | None:
    """That of the standard library, from Python 3.14 on, else that of ``zstandard``; None where there is neither."""
    with suppress(ImportError):
        from compression import zstd  # type: ignore[import-not-found]  # types are checked for Python 3.11

        parameter = zstd.CompressionParameter
        options = {parameter.compression_level: _LEVEL, parameter.window_log: _WINDOW_LOG}
        return lambda: zstd.ZstdCompressor(options=options)
    with suppress(ImportError):
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=_WINDOW_LOG)
        return lambda: zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return None
