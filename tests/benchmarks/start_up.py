"""How long does a person wait before a command answers, in seconds of CPU?

`python -m tests.benchmarks.start_up` starts each command afresh and prints user plus system time; what it does not
print is whether that is good: a second is what this project allows itself.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "soft_prompts --help",
    "soft_prompts compare --hlp",
    "soft_prompts list",
    "soft_prompts models",
    "soft_prompts compare results/reference --draws 0",
    "soft_prompts run chess --help",
    "soft_prompts run calibration --help",
    "tests.chess_test --help",
    "tests.chess_test --tokns 1",
    "tests.chess_test --data nowhere.pgn",
    "tests.chess_test --models ./nowhere",
    "tests.chess_test --jobs 0",
    "tests",
)


def seconds(command: str) -> float:
    """CPU of the command and of what it starts."""
    before = os.times()
    subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """The faster of two starts of each command: the first one may read its files from the disk."""
    for command in COMMANDS:
        print(f"{min(seconds(command) for _ in range(2)):5.2f} s  python -m {command}", flush=True)


if __name__ == "__main__":
    main()
