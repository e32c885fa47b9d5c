"""``Telemetry``: providers, readers and push of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry._base.lazy import names_on_first_use

if TYPE_CHECKING:
    from telemetry._base.otel_settings import ExportSettingsError as ExportSettingsError
    from telemetry.pipeline.telemetry import SCOPE as SCOPE
    from telemetry.pipeline.telemetry import Telemetry as Telemetry

_MODULES = {
    "ExportSettingsError": "telemetry._base.otel_settings",
    "SCOPE": "telemetry.pipeline.telemetry",
    "Telemetry": "telemetry.pipeline.telemetry",
}

__all__ = [*_MODULES]

__getattr__, __dir__ = names_on_first_use(globals(), _MODULES)
