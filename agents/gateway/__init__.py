"""The way from this service to the agents."""
