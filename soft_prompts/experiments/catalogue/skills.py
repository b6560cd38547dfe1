"""Which skills has a real model, which hide behind not being asked for, and which are not there?

Twelve skills as completions: `apple ->` and ` APPLE`, or ` apples`, or ` elppa`, or ` 5`. Nothing in front says which,
so that a model that has them all shows none. How many held-out rows does it complete to the letter behind 0, 1 and 4
trained tokens? `soft-prompts models install smollm2-135m` brings the model; `--data plural reverse` asks for some of
the skills, `--models` another model.

Source: the proxy of arXiv 2505.14943 for a behaviour, of words and numbers of our own.
"""

from soft_prompts.config import SHORT_MEMORY, RunConfig
from soft_prompts.data.made_rows import SKILLS
from soft_prompts.experiments.catalogue import completion
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.completion import CompletionTask

TASK = CompletionTask()
DEFAULT = Grid(
    models=("smollm2-135m",),
    tokens=(0, 1, 4),
    data=tuple(SKILLS),
    task=TASK,
    settings=RunConfig(
        TASK,
        "smollm2-135m",
        0,
        prompt="direct",
        steps=100,
        batch_size=8,
        learning_rate=3e-2,  # a tenth of what tiny models take: a token's embedding has the same spread, and is longer
        weight_decay=0.0,
        warmup_steps=5,
        sample_tokens=32,
        test_samples=64,
        validation_samples=64,
    ),
    jobs=2,
    evidence="standard",
)
REAL = variant(
    DEFAULT,
    data=("number-to-words", "past-tense", "reverse"),
    steps=50,
    learning_rate=0.1,
    betas=SHORT_MEMORY,
    validate_every=25,
    test_samples=48,
    validation_samples=48,
)
QUICK = variant(DEFAULT, models=("tiny-text",), data=("upper-case",), evidence="none", tokens=(0, 4), steps=20)
PAPER = variant(completion.PAPER, data=tuple(SKILLS), tokens=(0, 1, 4, 16), sample_tokens=32)
EXPERIMENT = Experiment(
    "skills",
    __doc__ or "",
    {"default": DEFAULT, "real": REAL, "quick": QUICK, "paper": PAPER},
    brief=True,
)
