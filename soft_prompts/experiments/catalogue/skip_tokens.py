"""Can prompt tokens make a language model look past the next token, and how far?

The token after the next is asked for, or one still further on; the loss is in nats per token of held-out text. With
no flags: tiny-text on modules of the standard library that it never saw. The bare model answers with the next token,
and pays for it; the further away the token, the less there is to know about it.

Source: arXiv 2505.14943, skip tokens. It found a steep fall with the first token, little beyond sixteen, and a loss
that rises with the distance.
"""

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.texts.skip_tokens import SkipTokensTask

TASK = SkipTokensTask(skip=(1, 2, 4, 8))
DEFAULT = Grid(
    models=("tiny-text",),
    tokens=(0, 1, 4, 16),
    data=("library",),
    task=TASK,
    settings=RunConfig(
        TASK,
        "tiny-text",
        0,
        prompt="direct",
        steps=200,
        batch_size=16,
        learning_rate=3e-2,
        weight_decay=0.0,
        sample_tokens=64,
        test_samples=300,
        validation_samples=128,
    ),
    jobs=2,
)
QUICK = variant(DEFAULT, tokens=(0, 4), task=SkipTokensTask((1, 8)), steps=20, test_samples=100, validation_samples=32)
PAPER = Grid(
    models=tuple(f"EleutherAI/pythia-{size}-deduped" for size in ("70m", "160m", "410m")),
    tokens=(0, 1, 4, 16, 64),
    data=("togethercomputer/RedPajama-Data-V2",),
    task=TASK,
    settings=RunConfig(
        TASK,
        "EleutherAI/pythia-70m-deduped",
        0,
        prompt="direct",
        init="zeros",
        steps=1536,
        schedule="constant",
        warmup_steps=0,
    ),
    preset="paper",
)
EXPERIMENT = Experiment("skip_tokens", __doc__ or "", {"default": DEFAULT, "quick": QUICK, "paper": PAPER})
