"""Does a command answer before it loads what takes seconds? Which modules were loaded says so, no clock does."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "transformers", "accelerate", "peft", "datasets", "matplotlib", "scipy", "tensorboard")
CODE = f"""
import runpy, sys
module, *words = sys.argv[1:]
sys.argv = [module, *words]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as stop:
    print("ended", stop.code or 0, *(name for name in {HEAVY} if name in sys.modules))
else:
    print("ended", 0, *(name for name in {HEAVY} if name in sys.modules))
"""
COMMANDS = {
    "soft_prompts --help": 0,
    "soft_prompts --version": 0,
    "soft_prompts comparee": 2,
    "soft_prompts compare --jsn": 2,
    "soft_prompts compare nowhere": 3,
    "soft_prompts compare results/reference/chess --draws 0": 0,
    "soft_prompts export nowhere out --to peft": 3,
    "soft_prompts export nowhere out --to pft": 2,
    "soft_prompts list": 0,
    "soft_prompts models": 0,
    "soft_prompts models --catalogue": 0,
    "soft_prompts models install smollm": 2,
    "soft_prompts run ches": 2,
    "soft_prompts run chess --help": 0,
    "soft_prompts run guidance_softprompt --help": 0,
    "tests.chess_test --help": 0,
    "tests.chess_test --tokns 3": 2,
    "tests.chess_test --steps 0": 2,
    "tests.chess_test --steps 0 --snapshot nowhere": 3,
    "tests.chess_test --jobs 0": 2,
    "tests.chess_test --data nowhere.pgn": 3,
    "tests.chess_test --models ./nowhere": 3,
    "tests.chess_test --output-dir pyproject.toml/inside": 3,
    "tests": 0,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_heavy_is_loaded_before_settings_and_paths_are_checked(command: str) -> None:
    started = [sys.executable, "-c", CODE, *command.split()]
    ended = subprocess.run(started, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1].split() == ["ended", str(COMMANDS[command])], ended.stderr


def test_only_lora_loads_peft() -> None:
    code = "import sys, soft_prompts.experiments.run; sys.exit('peft' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
