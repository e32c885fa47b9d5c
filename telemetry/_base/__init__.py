"""What every room stands on: diagnostics, ``OTEL_*`` checks, files, forks, threads, re-entrance."""
