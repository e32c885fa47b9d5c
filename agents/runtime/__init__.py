"""The built-in agents, the listeners beside the public port, and the start and end of the process."""
