"""What the agents use: cache, model router, and the guard before Redis."""
