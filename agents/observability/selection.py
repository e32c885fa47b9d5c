"""Which parts of the catalogue the settings switch on, and which values their labels have from the start."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from agents.settings import Settings
from telemetry.agentos import catalogue_genai as genai
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_models import ERROR_CODE, PROTOCOL_CODES, ROWS
from telemetry.metric import Catalogue
from telemetry.metric.telemetry_metrics import DESCRIPTIVE

__all__ = ["CatalogueSelection"]


class CatalogueSelection:
    """The catalogue for these settings. ``select`` keeps from /metrics what is pushed only."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        wanted = settings.genai_metrics
        if wanted == "auto":
            wanted = "otlp" if genai.opted_in(environ) else "off"
        version = genai.version(environ) if wanted != "off" else None
        described = DESCRIPTIVE if settings.telemetry_metrics else ()
        models_part = ROWS if settings.model_metrics else ()
        self.catalogue = Catalogue([*AGENTOS, *described, *models_part, *(version.rows if version else ())])
        self.select: Callable[[str, str], bool] | None = genai.exclude_genai if wanted == "otlp" else None
        self.known: dict[str, tuple[str, ...]] = {}
        targets = [one.target(name) for name, one in settings.providers.items()]
        models = tuple({target.model for target in targets})
        if settings.model_metrics:
            names = tuple(settings.providers)
            self.known |= {"model": models, "from_provider": names, "to_provider": names, ERROR_CODE.key: PROTOCOL_CODES}
        if version is not None:
            self.known |= {
                version.provider.key: tuple({target.vendor for target in targets}),
                genai.REQUEST_MODEL.key: models,
                genai.ADDRESS.key: tuple({target.address for target in targets} - {""}),
                genai.PORT.key: tuple({target.port for target in targets} - {""}),
            }
