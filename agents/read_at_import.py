"""Ends the start with one sentence on values of ``OTEL_*`` that are read at import; ``agents.main`` imports this early.

OpenTelemetry's modules raise there, which the server would show as a stack trace.
"""

from __future__ import annotations

import os
import sys

from telemetry._base.otel_settings import ExportSettingsError, check_at_import, unset_blank

unset_blank(os.environ)
try:
    check_at_import(os.environ)
except ExportSettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(3)  # the status of a failed start, for uvicorn and gunicorn
