"""The settings of the service: ``AGENTOS_*`` variables, validated once."""

from agents.settings.mcp_servers import McpServerSettings
from agents.settings.service import Settings
from agents.settings.values import ProviderSettings, SettingsError

__all__ = ["McpServerSettings", "ProviderSettings", "Settings", "SettingsError"]
