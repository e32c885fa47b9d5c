"""Makes this process look like one on Windows or Pyodide: no file locks, Unix sockets, user ids, forks, nor their signals."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import Any

__all__ = ["remove_unix"]

_MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
_OF_OS = ("fork", "register_at_fork", "getuid", "geteuid", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "mkfifo")
_SIGNALS = ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGKILL", "SIGALRM")


def remove_unix(*, sockets: bool = True) -> None:
    """Removes what only Unix has.

    Args:
        sockets: Whether Unix sockets go, too, which asyncio itself needs on Linux.
    """
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(_MODULES))
    gone = [(os, name) for name in _OF_OS] + [(signal, name) for name in _SIGNALS] + [(select, "poll")]
    for module, name in [*gone, *([(socket, "AF_UNIX")] if sockets else [])]:
        delattr(module, name)
