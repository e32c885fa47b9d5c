"""Spans that carry the labels of a metric: ``RequestTimer``, decorators, and the log filter with trace ids."""
