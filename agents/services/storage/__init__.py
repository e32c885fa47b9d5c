"""Storage of limits and cached answers: memory of the process, and Redis behind a guard."""
