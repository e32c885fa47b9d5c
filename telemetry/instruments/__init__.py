"""Instruments of a catalogue, their bound series, and the Views that aggregate them."""
