"""Configuration: the ``observability:`` block and dictConfig, laid over the loggers with an undo; and YAML, read with guards."""
