"""``python -m tests.vectors``."""

from . import main

main()
