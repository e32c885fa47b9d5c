"""The real servers as child processes, for the stack tests, the demo and ``make stack``."""
