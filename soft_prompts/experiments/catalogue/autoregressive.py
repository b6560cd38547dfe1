"""Does a prompt help a language model with ordinary text, of its own kind and of another?

The loss is that of the next token of held-out documents, per byte of text. With no flags: tiny-text on the kind of text
that it was trained on (modules of the standard library that it never saw), and on games and boards, which it has never
seen: there should be hardly anything to gain at home, and much elsewhere.

Source: arXiv 2505.14943, autoregressive. It found next to no gain on the training distribution (the Pile), a little on
web text (RedPajama-V2), and less for larger models.
"""

from soft_prompts.config import SHORT_MEMORY, RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask

TASK = AutoregressiveTask()
DEFAULT = Grid(
    models=("tiny-text",),
    tokens=(0, 1, 4, 16),
    data=("library", "games", "mazes"),
    task=TASK,
    settings=RunConfig(
        TASK,
        "tiny-text",
        0,
        prompt="direct",
        steps=100,
        batch_size=16,
        learning_rate=1.0,
        betas=SHORT_MEMORY,
        weight_decay=0.0,
        warmup_steps=5,
        sample_tokens=64,
        test_samples=300,
        validation_samples=128,
    ),
    jobs=2,
)
QUICK = variant(DEFAULT, tokens=(0, 4), data=("library",), steps=20, test_samples=100, validation_samples=32)
PAPER = Grid(
    models=tuple(f"EleutherAI/pythia-{size}-deduped" for size in ("70m", "160m", "410m", "1b")),
    tokens=(0, 1, 4, 16, 64),
    data=("EleutherAI/the_pile_deduplicated", "togethercomputer/RedPajama-Data-V2"),
    task=TASK,
    settings=RunConfig(
        TASK,
        "EleutherAI/pythia-70m-deduped",
        0,
        prompt="direct",
        init="zeros",
        steps=2048,
        schedule="constant",
        warmup_steps=0,
    ),
    preset="paper",
)

EXPERIMENT = Experiment("autoregressive", __doc__ or "", {"default": DEFAULT, "quick": QUICK, "paper": PAPER})
