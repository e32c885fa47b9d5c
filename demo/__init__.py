"""``make demo``: the service under a small load, its metrics live in the terminal."""
