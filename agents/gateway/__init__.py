"""The A2A gateway: runs, agents' clients and the HTTP below them."""
