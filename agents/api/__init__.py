"""HTTP of the service: thin routes, their answers and their errors."""
