"""Configuration: the ``observability:`` block and dictConfig, added to the loggers with an undo; and a YAML reader."""
