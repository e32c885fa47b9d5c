"""x"""

from __future__ import annotations


class ExportSettingsError(ValueError):
    """An ``OTEL_*`` variable has a value that is not allowed; one sentence with its name, its value and what is allowed."""
