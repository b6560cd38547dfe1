"""How many functions of ours stand between an experiment's main and a step of the optimiser? A trace counts them."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid

HOUSE = Path(__file__).parents[3] / "soft_prompts"
MOST = 5  # main, run_all, _outcomes, run_together and train


def test_from_main_to_a_step_are_five_frames_at_most(
    settings: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[list[str]] = []
    plain = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *arguments: object) -> object:
        ours = [frame for frame in inspect.stack(0) if Path(frame.filename).is_relative_to(HOUSE)]
        frames.append([frame.function for frame in ours])
        return plain(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    config = settings(tmp_path, steps=2)
    grid = Grid(models=(config.model,), tokens=(1,), data=(config.data,), settings=config, task=config.task)
    assert Experiment("chess", "What does a check ask?", {"default": grid}).main([]) == 0
    assert len(frames) == 2
    for names in frames:
        assert names[-1] == "main"
        assert len(names) <= MOST, names
