"""How many prompt tokens make a language model say one string again and again, whatever the text says?

The text goes on as it was: the model has to count blind. To know which n tokens, but not their order, costs ln n.

Source: arXiv 2505.14943, repetition. It found that one to four tokens solve a one-token string, and that longer ones
pass a plateau near the log of their length and need 16 to 64.
"""

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.texts.repetition import RepetitionTask

TASK = RepetitionTask()
DEFAULT = Grid(
    models=("tiny-text",),
    tokens=(0, 1, 4, 16, 64),
    data=("library",),
    task=TASK,
    settings=RunConfig(
        TASK,
        "tiny-text",
        0,
        prompt="direct",
        steps=150,
        batch_size=16,
        learning_rate=1.0,
        betas=(0.8, 0.9),
        weight_decay=0.0,
        sample_tokens=32,
        validation_samples=64,
    ),
    jobs=2,
)
QUICK = variant(
    DEFAULT, tokens=(0, 4), task=RepetitionTask(("1-token",)), steps=20, test_samples=100, validation_samples=32
)
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
        steps=512,
        batch_size=256,
        schedule="constant",
        warmup_steps=0,
    ),
    preset="paper",
)
METRICS = ("token_accuracy", "repeated_share")
EXPERIMENT = Experiment("repetition", __doc__ or "", {"default": DEFAULT, "quick": QUICK, "paper": PAPER}, {}, METRICS)
