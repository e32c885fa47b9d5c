"""Streams of series with their states: what the SDK has recorded, as a scrape or a worker's snapshot reads it."""
