"""AgentOS' own vocabulary: its catalogue, the recorder of its events, and the process's default telemetry."""
