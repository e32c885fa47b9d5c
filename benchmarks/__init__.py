"""Speed and memory compared with the peers, as ratios within one run: ``python -m benchmarks``."""
