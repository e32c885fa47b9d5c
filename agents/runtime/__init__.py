"""The built-in agents and the built-in model provider, and the loopback listener in front of the agents."""
