"""Fuzzing: random input against what must hold for any input. ``python -m tests.fuzz --minutes 10`` runs all targets for long.

A target is a Hypothesis test over one strategy, so that a failure is shrunk and shown. ``tests/test_fuzz.py`` runs each of them
for a few seconds, with the same examples every time. With atheris installed, ``--coverage`` steers a target by what it reaches.
"""
