"""Other people's tools: what they load themselves, by an entry point or by name."""
