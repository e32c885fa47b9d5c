"""``Telemetry`` with AgentOS' catalogue."""

from __future__ import annotations

from typing import Self, Unpack

from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.recorder import Recorder
from telemetry.metric import Catalogue
from telemetry.pipeline.telemetry import EnvironmentOptions, Telemetry, TelemetryOptions

__all__ = ["AgentOSTelemetry"]


class AgentOSTelemetry(Telemetry):
    """A ``Telemetry`` with AgentOS' catalogue and the recorder of its events."""

    def __init__(self, catalogue: Catalogue = AGENTOS, **options: Unpack[TelemetryOptions]) -> None:
        """See ``Telemetry``. The ``catalogue`` must have the rows of ``AGENTOS``."""
        super().__init__(catalogue, **options)
        self._recorder: Recorder | None = None

    @classmethod
    def from_environment(
        cls, catalogue: Catalogue = AGENTOS, *, service_name: str = "agentos", **options: Unpack[EnvironmentOptions]
    ) -> Self:
        """See ``Telemetry.from_environment``."""
        return super().from_environment(catalogue, service_name=service_name, **options)

    @property
    def recorder(self) -> Recorder:
        """Records AgentOS' events. It is made at first use, and then starts the counters of the cache at 0."""
        if self._recorder is None:
            made = Recorder(self)
            self._recorder = self._recorder or made  # a signal handler may have made one meanwhile: both record alike
        return self._recorder
