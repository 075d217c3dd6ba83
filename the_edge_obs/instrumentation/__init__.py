"""What observes your code: the decorator, spans and flows, registries, and what carries the context where Python does not."""
