"""Instrumentation of a program: the decorator, spans and flows, registries, and carriers of the context."""
