"""Streams of series with their states: what a scrape, or the snapshot of a worker, shows of the SDK's data."""
