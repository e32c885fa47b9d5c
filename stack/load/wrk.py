"""Load by wrk on a number of connections; every answer is counted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Load", "loading"]

# A thread has one connection and stops at the answer to its last call, so that every call has a counted answer.
# wrk itself goes on to the end of its duration.
_SCRIPT = """
wrk.method = "POST"
wrk.body = '{{"input": "question", "operation": "{operation}"}}'
wrk.headers["Content-Type"] = "application/json"
local threads = {{}}
answered = 0
failed = 0
local stop_at = os.time() + {seconds}
function setup(thread) table.insert(threads, thread) end
function response(status)
  if status == 200 then answered = answered + 1 else failed = failed + 1 end
  if os.time() >= stop_at then wrk.thread:stop() end
end
function done()
  for _, thread in ipairs(threads) do
    io.write("answered " .. thread:get("answered") .. " failed " .. thread:get("failed") .. "\\n")
  end
end
"""


_LAST_ANSWER = 5
"""Seconds that wrk waits for the last answers."""


@dataclass(slots=True)
class Load:
    """A running load; after ``wait``, its numbers of answers."""

    process: subprocess.Popen[str]
    answered: int = 0
    failed: int = 0

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self) -> None:
        """Waits for the end of the load and counts the answers."""
        output, _ = self.process.communicate()
        for answered, failed in re.findall(r"^answered (\d+) failed (\d+)$", output, re.MULTILINE):
            self.answered += int(answered)
            self.failed += int(failed)


@contextmanager
def loading(
    program: Path, folder: Path, url: str, *, agent: str, operation: str, connections: int = 4, seconds: int = 8
) -> Iterator[Load]:
    """Loads an agent: each connection makes one call after the other for a number of seconds.

    Args:
        program: Path of wrk.
        folder: Holds wrk's script.
        url: Address of the service.
        agent: The agent to call.
        operation: The operation to ask for.
        connections: Number of connections.
        seconds: No connection begins a call after this many seconds.
    """
    script = folder / f"{agent}-{operation}.lua"
    script.write_text(_SCRIPT.format(operation=operation, seconds=seconds))
    many = (
        f"--threads={connections}",
        f"--connections={connections}",
        f"--duration={seconds + _LAST_ANSWER}s",
        "--timeout=20s",
    )
    process = subprocess.Popen(
        [program, *many, f"--script={script}", f"{url}/agents/{agent}/runs"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    load = Load(process)
    try:
        yield load
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
