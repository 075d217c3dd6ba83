"""Third-party tools: what they load, by an entry point or by name."""
