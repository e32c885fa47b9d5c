"""The real servers as child processes, and how their binaries are built."""
