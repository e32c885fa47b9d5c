"""Load by wrk: so many calls on so many connections, each answer counted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Load", "loading"]

# A thread has one connection and stops in the answer to its last call: no call is left without an answer that is counted.
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
  if answered + failed >= {calls} or os.time() >= stop_at then wrk.thread:stop() end
end
function done()
  for _, thread in ipairs(threads) do
    io.write("answered " .. thread:get("answered") .. " failed " .. thread:get("failed") .. "\\n")
  end
end
"""


@dataclass(slots=True)
class Load:
    """A load under way, and in the end what came of it."""

    process: subprocess.Popen[str]
    answered: int = 0
    failed: int = 0

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self) -> None:
        """Wait for its end and count."""
        output, _ = self.process.communicate()
        for answered, failed in re.findall(r"^answered (\d+) failed (\d+)$", output, re.MULTILINE):
            self.answered += int(answered)
            self.failed += int(failed)


@contextmanager
def loading(
    program: Path,
    folder: Path,
    url: str,
    *,
    agent: str,
    operation: str,
    calls: int = 10**9,
    connections: int = 4,
    seconds: int = 60,
) -> Iterator[Load]:
    """So many calls on each of the connections, or as many as end in so many seconds."""
    script = folder / f"{agent}-{operation}.lua"
    script.write_text(_SCRIPT.format(operation=operation, calls=calls, seconds=seconds))
    many = (f"--threads={connections}", f"--connections={connections}", f"--duration={seconds + 10}s", "--timeout=20s")
    process = subprocess.Popen(
        [program, *many, f"--script={script}", f"{url}/agents/{agent}/runs"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    load = Load(process)
    try:
        yield load
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
