"""Load on a running service: steady traffic, malformed requests, outages and soak runs."""
