"""Which parts of the catalogue the settings switch on, and which values and limits their labels have."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping

from agents.settings import Settings, SettingsError
from telemetry._base.diagnostics import Diagnostics
from telemetry.agentos import catalogue_agents, catalogue_workspaces
from telemetry.agentos import catalogue_genai as genai
from telemetry.agentos.catalogue import AGENTOS, WORKSPACE
from telemetry.agentos.catalogue_models import ERROR_CODE, PROTOCOL_CODES, ROWS
from telemetry.metric import Catalogue, CatalogueError
from telemetry.metric.label_values import Domains
from telemetry.metric.telemetry_metrics import DESCRIPTIVE
from telemetry.runtime import RUNTIME

__all__ = ["CatalogueSelection", "limits_error"]


class CatalogueSelection:
    """The catalogue for these settings.

    Attributes:
        catalogue: The rows that are recorded.
        select: Keeps metrics that are only pushed off /metrics; ``None`` where all are shown.
        genai: The version of the GenAI conventions, whether its metrics are recorded or not.
        known: Label key -> the values that the settings name, for the labels of the parts that are switched on.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        wanted = settings.genai_metrics
        if wanted == "auto":
            wanted = "otlp" if genai.opted_in(environ) else "off"
        self.genai = genai.VERSIONS.get(settings.genai_version) or genai.version(environ)
        version = self.genai if wanted != "off" else None
        described = DESCRIPTIVE if settings.telemetry_metrics else ()
        models_part = ROWS if settings.model_metrics else ()
        agents_part = (*catalogue_agents.ROWS, *catalogue_workspaces.ROWS) if settings.agent_metrics else ()
        runtime_part = RUNTIME if settings.runtime_metrics else ()
        genai_part = version.rows if version else ()
        self.catalogue = Catalogue([*AGENTOS, *described, *models_part, *agents_part, *runtime_part, *genai_part])
        self.select: Callable[[str, str], bool] | None = genai.exclude_genai if wanted == "otlp" else None
        self.known: dict[str, tuple[str, ...]] = {}
        targets = [provider.target(name) for name, provider in settings.providers.items()]
        models = tuple({target.model for target in targets})
        if settings.model_metrics:
            names = tuple(settings.providers)
            self.known |= {"model": models, "from_provider": names, "to_provider": names, ERROR_CODE.key: PROTOCOL_CODES}
        if settings.agent_metrics and settings.budgets.budgets:
            self.known |= {WORKSPACE.key: tuple(settings.budgets.budgets)}
        places: set[tuple[str, str]] = set()
        if settings.agent_metrics and settings.mcp_servers:
            places |= {server.address for server in settings.mcp_servers.values()}
            self.known |= {catalogue_agents.MCP_SERVER.key: tuple(settings.mcp_servers)}
        if version is not None:
            places |= {(target.address, target.port) for target in targets}
            self.known |= {version.provider.key: tuple({target.vendor for target in targets}), genai.REQUEST_MODEL.key: models}
        if places:
            self.known |= {
                genai.ADDRESS.key: tuple({address for address, _ in places} - {""}),
                genai.PORT.key: tuple({port for _, port in places} - {""}),
            }


def limits_error(
    error: CatalogueError, settings: Settings, catalogue: Catalogue, known: Mapping[str, Collection[str]]
) -> SettingsError:
    """The error of the setting for which the catalogue was refused.

    ``AGENTOS_MAX_SERIES`` is to blame where it is too low even for the labels' default limits; else ``AGENTOS_LABEL_LIMITS``.
    """
    limits = {label.key: label.limit for metric in catalogue for label in metric.labels if label.is_open}
    limits |= {key: limit for key, limit in settings.label_limits.items() if limit < limits.get(key, 0)}
    domains = Domains(catalogue, Diagnostics(), known=known, limits=limits)
    least = max(metric.cardinality_limit or domains.series_limit(metric) for metric in catalogue)
    if settings.max_series < least:
        needed = f"a whole number from {least} on is needed, or lower limits in AGENTOS_LABEL_LIMITS"
        return SettingsError(f"AGENTOS_MAX_SERIES is {settings.max_series}: {needed}.")
    return SettingsError(f"AGENTOS_LABEL_LIMITS is {dict(settings.label_limits)}: {error}.")
