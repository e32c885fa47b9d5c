"""Which MCP servers answer."""

from __future__ import annotations

import subprocess
import sys

from telemetry import Catalogue, Telemetry
from telemetry.agentos.mcp import ServersUp
from tests.helpers.mcp_server import telemetry_of
from tests.helpers.samples import read


def test_a_server_is_1_while_it_answers_and_gone_once_it_is_removed() -> None:
    """Two servers, one of them down, then one of them removed."""
    telemetry = telemetry_of()
    servers = ServersUp(telemetry)
    servers.set("search", True)
    servers.set("files", True)
    servers.set("files", False)
    assert _shown(telemetry) == {"search": 1, "files": 0}
    servers.remove("files")
    assert _shown(telemetry) == {"search": 1}


def test_without_the_row_nothing_is_shown() -> None:
    """A catalogue without the row takes the reports all the same."""
    telemetry = Telemetry(Catalogue(()), workers=False)
    ServersUp(telemetry).set("search", True)
    assert _shown(telemetry) == {}


def test_the_sdk_is_loaded_by_what_needs_it_only() -> None:
    """``ServersUp`` works where the extra ``mcp`` is not installed."""
    code = "import sys; from telemetry.agentos.mcp import ServersUp; print('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def _shown(telemetry: Telemetry) -> dict[str, float]:
    return {dict(labels)["mcp_server"]: value for (name, labels), value in read(telemetry).items() if name == "mcp_servers_up"}
