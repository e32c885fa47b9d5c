"""The handles that one event of AgentOS needs, found together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from telemetry.handles import BoundCounter, BoundGauge, BoundHistogram

__all__ = ["A2AOutcome", "A2ASeries", "CCRSeries"]


@dataclass(slots=True)
class A2ASeries:
    """The handles of one agent and operation."""

    labels: Mapping[str, str]
    duration: dict[str, BoundHistogram]
    count: dict[str, BoundCounter]
    active: BoundGauge
    size: BoundHistogram


@dataclass(slots=True)
class A2AOutcome:
    """The handles of one agent, operation and status."""

    duration: BoundHistogram
    count: BoundCounter
    size: BoundHistogram


@dataclass(slots=True)
class CCRSeries:
    """The handles of one provider and task type."""

    labels: Mapping[str, str]
    count: dict[str, BoundCounter]
    latency: BoundHistogram
    tokens: dict[str, BoundCounter]
