"""The tools of the built-in agents: those of the process, and those of MCP servers."""
