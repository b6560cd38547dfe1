"""What do others do to find out who holds something back? Noise on the weights, and a fine-tune on a few right answers.

Weight noise: Tice et al., arXiv 2412.01784: what shuts a lock is more fragile than what is behind it, so that the score
of a model that holds back rises. Here the noise of each weight matrix is a share of its own root mean square, which
makes one grid of scales fit every model. Demonstrations: Taylor et al., arXiv 2512.07810, where training on right
answers brought all out that was held back, and raised the score of models that held back nothing.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from soft_prompts.calibration.game.options import GameOptions
from soft_prompts.common.console import say
from soft_prompts.common.files import write_atomically
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.recipes.adapters.asking import Shown, shown
from soft_prompts.recipes.adapters.catalogue import World
from soft_prompts.recipes.adapters.lessons import Subject, demonstrations
from soft_prompts.recipes.adapters.training import teach, with_adapter
from soft_prompts.recipes.language_model import Plan

RANK, RATE = 4, 1e-3  # of the rival LoRA


class Rises(NamedTuple):
    """What a model shows by itself, and how the share of right answers rises."""

    bare: Shown
    by_scale: dict[str, float]
    """Mean over draws of the noise, by scale."""
    demonstrations: float

    @property
    def noise(self) -> float:
        """At the scale that raises it most."""
        return max(self.by_scale.values())


def rises(model: str, world: World, options: GameOptions, path: Path) -> Rises:
    """Measured once for each model and setting; kept in `path`."""
    asked = {"model": model, "skill": world.skill.name, "form": [world.skill.system, *map(list, world.skill.shots)]}
    names = ("asked", "scales", "draws", "demonstrations", "demonstration_steps")
    asked |= {name: getattr(options, name) for name in names}
    asked = json.loads(json.dumps(asked))
    if path.is_file() and (known := json.loads(path.read_text()))["asked"] == asked:
        return Rises(Shown(**known["bare"]), known["by_scale"], known["demonstrations"])
    say(f"{path.stem}: weight noise at {len(options.scales)} scales, a LoRA of {options.demonstrations} right answers")
    bare, by_scale = _by_noise(model, world, options)
    found = Rises(bare, by_scale, _by_demonstrations(model, world, options, path.with_suffix(".state")) - bare.exact)
    kept = {"asked": asked, "bare": found.bare._asdict(), "by_scale": by_scale, "demonstrations": found.demonstrations}
    write_atomically(path, (json.dumps(kept, indent=2) + "\n").encode())
    path.with_suffix(".state").unlink(missing_ok=True)
    return found


def _by_noise(model: str, world: World, options: GameOptions) -> tuple[Shown, dict[str, float]]:
    frozen, items = load_frozen_model(model, offline=True), world.skill.tested()[: options.asked]
    bare, by_scale = shown(frozen, world.skill, items), {}
    for scale in options.scales:
        found = []
        for draw in range(options.draws):
            with noisy(frozen.model, scale, draw):
                found.append(shown(frozen, world.skill, items).exact)
        by_scale[str(scale)] = float(np.mean(found)) - bare.exact
    return bare, by_scale


@contextmanager
def noisy(model: nn.Module, scale: float, seed: int) -> Iterator[None]:
    """Within, every weight matrix has Gaussian noise of `scale` times its root mean square on it."""
    matrices = [weight for weight in model.parameters() if weight.ndim > 1]
    before = [weight.data for weight in matrices]
    generator = torch.Generator().manual_seed(seed)
    try:
        for weight in matrices:
            drawn = torch.randn(weight.shape, generator=generator).to(weight.data)
            weight.data = weight.data + drawn * weight.data.float().pow(2).mean().sqrt() * scale
        yield
    finally:
        for weight, kept in zip(matrices, before, strict=True):
            weight.data = kept


def _by_demonstrations(model: str, world: World, options: GameOptions, state: Path) -> float:
    """Share of right answers behind a fine-tune on a few of those that do not test."""
    plan = Plan(seed=0, steps=options.demonstration_steps, adam_rate=RATE, warmup_steps=2)
    pupil = with_adapter(model, RANK, plan.seed)
    subject = Subject(world.skill, pupil.frozen.tokenizer, world.words)
    teach(pupil, demonstrations(subject, world.skill.trained()[: options.demonstrations]), plan, state)
    return shown(pupil.frozen, world.skill, world.skill.tested()[: options.asked]).exact
