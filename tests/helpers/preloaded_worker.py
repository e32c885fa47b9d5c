"""A module that makes telemetry when it is imported, for a fork server that imports it first."""

from __future__ import annotations

import os
from pathlib import Path

from telemetry import Telemetry
from telemetry.prefork import Workers
from tests.helpers.workers import catalogue

telemetry = Telemetry(catalogue(), workers=Workers(Path(os.environ["PRELOADED_STATE"]), save_every=3600.0))
