"""Do many runs, one after another or side by side, end as each of them would alone?"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.experiments import sweep
from soft_prompts.experiments.sweep import RunFailed, run_all
from soft_prompts.results.files import read_result
from soft_prompts.training.apparatus import run_paths

ROOT = Path(__file__).parents[3]
Settings = Callable[..., RunConfig]
COMMAND = """
import os, sys
from pathlib import Path
from dataclasses import replace
if __name__ == "__main__":
    from soft_prompts.common.command_line import guarded
    from soft_prompts.config import RunConfig
    from soft_prompts.experiments.sweep import run_all
    from soft_prompts.tasks.chess import ChessTask
    base = RunConfig(ChessTask(max_plies=6), {model!r}, 1, data={data!r}, steps=2000, checkpoint_every=2000,
                     validate_every=2000, warmup_steps=0, batch_size=8, sample_tokens=48, validation_samples=4,
                     test_samples=4, max_bad=0.5, data_workers=0, output_dir=Path({output!r}))
    with guarded() as ending:
        ending.exit_code = len(run_all([base, replace(base, tokens=2)], jobs=2))
    sys.exit(ending.exit_code)
"""


def test_side_by_side_is_one_after_another(
    settings: Settings, tmp_path: Path, read_outputs: Callable[[RunConfig], Any]
) -> None:
    alone = [settings(tmp_path / "alone", steps=2, tokens=tokens) for tokens in (0, 1, 2)]
    together = [replace(config, output_dir=tmp_path / "together") for config in alone]
    assert run_all(alone, together="off") == run_all(together, jobs=2, together="off") == []
    for one, other in zip(alone, together, strict=True):
        mine, theirs = read_outputs(one), read_outputs(other)
        assert mine == theirs


def test_the_first_without_a_result_ends_all(settings: Settings, tmp_path: Path) -> None:
    good, bad = settings(tmp_path, steps=2), settings(tmp_path, data=str(tmp_path / "nope.pgn"))
    with pytest.raises(InputError, match="does not exist"):
        run_all([bad, good])
    with pytest.raises(ValueError, match="one path"):
        run_all([good, good])


@pytest.mark.faults
def test_the_first_without_a_result_ends_all_side_by_side(settings: Settings, tmp_path: Path) -> None:
    bad = settings(tmp_path, data=str(tmp_path / "nope.pgn"))
    with pytest.raises(RunFailed, match="does not exist") as caught:
        run_all([bad, replace(bad, tokens=1)], jobs=2)
    assert caught.value.exit_code == InputError.exit_code


def test_a_failed_result_is_told(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = settings(tmp_path, steps=2), settings(tmp_path, steps=2, tokens=1)
    done = run_all([good])
    failed = replace(read_result(run_paths(good).result), status="failed", reason="nothing was finite")
    real = sweep.run_together
    monkeypatch.setattr(sweep, "run_together", lambda some, turn: [failed] if some == [bad] else real(some, turn=turn))
    (line,) = run_all([bad, good], together="off")
    assert done == []
    assert line.endswith("1 tokens seed 0 failed: nothing was finite")


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_interrupts_all_of_them(
    games: Path, tiny_folders: dict[str, Path], tmp_path: Path, number: signal.Signals, record_property: Any
) -> None:
    """Ctrl-C reaches every process of a terminal: each run publishes its last whole step, and the command exits 4."""
    script, output = tmp_path / "command.py", tmp_path / "out"
    script.write_text(COMMAND.format(model=str(tiny_folders["gpt_neox"]), data=str(games), output=str(output)))
    log = tmp_path / "stderr"
    with log.open("w") as stream:
        launched = subprocess.Popen(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stderr=stream,
            start_new_session=True,
        )
    until = time.monotonic() + 240
    while log.read_text().count(" s for 2000 steps") < 2 and time.monotonic() < until and launched.poll() is None:
        time.sleep(0.1)  # until both have trained five steps
    os.killpg(launched.pid, number)
    launched.wait(timeout=120)
    text = log.read_text()
    assert launched.returncode == 4, text
    assert "Traceback" not in text
    assert text.count("finishing this step; again to lose it") == 1
    assert len(list(output.rglob("step-*"))) == 2
    assert not list(output.rglob("lock.holder"))
    record_property("fault", {"fault": f"{number.name} to runs side by side", "trials": 2, "passed": 2})
