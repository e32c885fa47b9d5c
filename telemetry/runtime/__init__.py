"""Metrics of the process and its runtime, right under several workers: rows for a catalogue, and what observes them."""

from telemetry.runtime.catalogue import RUNTIME

__all__ = ["RUNTIME"]
