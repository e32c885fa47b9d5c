"""The built-in agents, the connections, the listener for ``/metrics``, and the start and end of the process."""
