"""The HTTP interface of the service: routes, answers and errors."""
