"""``Telemetry``: providers, readers and push of one process."""

from telemetry.pipeline.otlp import ExportSettingsError
from telemetry.pipeline.telemetry import SCOPE, Telemetry

__all__ = ["SCOPE", "ExportSettingsError", "Telemetry"]
