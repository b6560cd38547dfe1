"""Does a prompt help later tokens more when a token's loss counts once for every token far enough in front of it?

Source: the original code of arXiv 2505.14943, favour-future loss. Only training is weighted: test losses are the
ordinary ones.
"""

import sys

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.autoregressive import AutoregressiveTask

DEFAULT = Grid(
    models=("tiny-text",),
    tokens=(0, 4),
    data=("library", "games"),
    task=AutoregressiveTask(),
    settings=RunConfig(
        AutoregressiveTask(),
        "tiny-text",
        0,
        prompt="direct",
        steps=40,
        learning_rate=1e-2,
        weight_decay=0.0,
        test_samples=100,
        sample_tokens=64,
        validation_samples=32,
    ),
)
QUICK = variant(DEFAULT, tokens=(0, 1), steps=10, test_samples=50)
PAPER = Grid(
    models=("EleutherAI/pythia-70m-deduped",),
    tokens=(0, 1, 4, 16, 64),
    data=("togethercomputer/RedPajama-Data-V2",),
    task=AutoregressiveTask(),
    settings=RunConfig(
        AutoregressiveTask(),
        "EleutherAI/pythia-70m-deduped",
        0,
        prompt="direct",
        steps=2048,
        schedule="constant",
        warmup_steps=0,
    ),
    preset="paper",
)
CASES = {
    "every loss alike": {"task": AutoregressiveTask()},
    "favouring 4 tokens on": {"task": AutoregressiveTask(favour_future=4)},
    "favouring 32 tokens on": {"task": AutoregressiveTask(favour_future=32)},
}
PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
EXPERIMENT = Experiment("favour_future", __doc__ or "", PRESETS, CASES, folder="exploratory_tests")

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
