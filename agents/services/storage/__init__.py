"""The storage of limits and cached answers: memory of the process, and the guard of Redis."""
