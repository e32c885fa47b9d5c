"""What every room stands on: diagnostics of the telemetry itself, forks, and threads."""
