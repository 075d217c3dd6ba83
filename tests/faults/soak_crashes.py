"""Kill a logging process many times at random moments, and check what is left: run by hand, prints figures.

python tests/faults/soak_crashes.py [KILLS, default 200]
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from test_crashes import KILLED, check_killed, kill_at


def soak(kills: int) -> None:
    """Kill so many processes, half of them after a number of events, half after a time, and print what was found."""
    events = told = torn = 0
    began = time.monotonic()
    for turn in range(kills):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "program.py")
            program.write_text(KILLED, encoding="utf-8")
            process = subprocess.Popen([sys.executable, str(program), folder], stdout=subprocess.PIPE)
            mine = kill_at(process, random.randrange(1, 5_000), random.uniform(0, 0.3) if turn % 2 else None)
            kept, is_torn = check_killed(Path(folder), mine)
            events, told, torn = events + kept, told + mine, torn + is_torn
    print(f"{kills} kills in {time.monotonic() - began:.0f} s")
    print(f"{events:,} events in the files, {told:,} of them told of before the kill, 0 of those lost, {torn} last lines torn")


if __name__ == "__main__":
    soak(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
