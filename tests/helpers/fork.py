"""What a forked child of the test sees."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["in_child"]


def in_child(work: Callable[[], object]) -> str:
    """Returns the ``repr`` of what ``work`` returns or raises in a forked child."""
    end, start = os.pipe()
    if (child := os.fork()) == 0:
        try:
            result = repr(work())
        except BaseException as error:
            result = repr(error)
        os.write(start, result.encode())
        os._exit(0)
    os.close(start)
    with os.fdopen(end) as file:
        result = file.read()
    os.waitpid(child, 0)
    return result
