"""``Telemetry`` with AgentOS' catalogue."""

from __future__ import annotations

import os
from typing import Self, Unpack

from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_genai import V1_36, GenAI, version
from telemetry.agentos.recorder import Recorder
from telemetry.metric import Catalogue
from telemetry.pipeline.telemetry import EnvironmentOptions, Telemetry, TelemetryOptions

__all__ = ["AgentOSTelemetry"]


class AgentOSTelemetry(Telemetry):
    """A ``Telemetry`` with AgentOS' catalogue and the recorder of its events."""

    def __init__(self, catalogue: Catalogue = AGENTOS, **options: Unpack[TelemetryOptions]) -> None:
        """See ``Telemetry``. The ``catalogue`` must have the rows of ``AGENTOS``."""
        super().__init__(catalogue, **options)
        self.genai: GenAI = V1_36
        """The version of the GenAI conventions for the spans of model calls, if the catalogue has no metrics of them."""
        self._recorder: Recorder | None = None

    @classmethod
    def from_environment(
        cls, catalogue: Catalogue = AGENTOS, *, service_name: str = "agentos", **options: Unpack[EnvironmentOptions]
    ) -> Self:
        """See ``Telemetry.from_environment``; ``OTEL_SEMCONV_STABILITY_OPT_IN`` chooses the version ``genai``."""
        made = super().from_environment(catalogue, service_name=service_name, **options)
        made.genai = version(os.environ)
        return made

    @property
    def recorder(self) -> Recorder:
        """Records AgentOS' events. It is made at first use, and then starts the counters of the cache at 0."""
        if self._recorder is None:
            made = Recorder(self, self.genai)
            self._recorder = self._recorder or made  # a signal handler may have made one meanwhile: both record alike
        return self._recorder
