"""How many prompt tokens bring out the completions that a file asks for?

Any file of prompts and completions (`--data FILE.jsonl`): the loss of held-out completions in nats each, and how many
of them the model writes by itself, to the letter. With no flags: tiny-text on sums and differences of two numbers,
which are made on the spot. It has read code, but hardly a sum: the form should come soon, the right number not.

Source: arXiv 2505.14943 measures a behaviour that one worries about by a proxy of this form; its own example is none
of its experiments.
"""

from soft_prompts.config import SHORT_MEMORY, RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.completion import CompletionTask

TASK = CompletionTask()
DEFAULT = Grid(
    models=("tiny-text",),
    tokens=(0, 1, 4, 16),
    data=("sums",),
    task=TASK,
    settings=RunConfig(
        TASK,
        "tiny-text",
        0,
        prompt="direct",
        steps=75,
        learning_rate=1.0,
        betas=SHORT_MEMORY,
        weight_decay=0.0,
        warmup_steps=5,
        sample_tokens=32,
        test_samples=400,
        validation_samples=128,
    ),
    jobs=2,
    evidence="standard",
)
QUICK = variant(DEFAULT, tokens=(0, 4), evidence="none", steps=20, test_samples=100, validation_samples=32)
PAPER = variant(
    DEFAULT,
    evidence="none",
    models=("EleutherAI/pythia-70m-deduped", "EleutherAI/pythia-160m-deduped"),
    tokens=(0, 1, 4, 16, 64),
    steps=2048,
    learning_rate=1e-3,
    betas=RunConfig.betas,
    weight_decay=1e-4,
    warmup_steps=20,
)
EXPERIMENT = Experiment(
    "completion",
    __doc__ or "",
    {"default": DEFAULT, "quick": QUICK, "paper": PAPER},
    metrics=("exact_match", "prefix_match"),
)
