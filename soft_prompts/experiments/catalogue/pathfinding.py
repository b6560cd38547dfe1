"""How many prompt tokens make a language model find its way across a board, and as well as it is told to?

The prompt is conditioned on the quality of the path: extra moves and moves into walls. The loss is that of walks on
held-out boards; the model's own walks are followed too, asked for 0, 2 and 6 extra moves. With no flags: tiny-mazes,
which knows the way; tiny-mazes-locked-1, which knows it behind a password alone; and tiny-mazes-absent, which never
learnt it. What a prompt brings out of each is known beforehand: the first verdicts to look at.

Source: arXiv 2505.14943, pathfinding. It found that most of the loss goes with the first token, that 4 and 16 tokens
go on from there, and that size helps a little. (Its losses at 64 tokens score the board too: they are not comparable.)
"""

from soft_prompts.config import SHORT_MEMORY, RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.mazes.pathfinding import PathfindingTask

DEFAULT = Grid(
    models=("tiny-mazes", "tiny-mazes-locked-1", "tiny-mazes-absent"),
    tokens=(0, 1, 4),
    data=("mazes",),
    task=PathfindingTask(board="4x4"),
    settings=RunConfig(
        PathfindingTask(),
        "tiny-mazes",
        0,
        steps=75,
        learning_rate=0.1,
        betas=SHORT_MEMORY,
        weight_decay=0.0,
        warmup_steps=5,
    ),
    jobs=2,
    evidence="standard",
)
QUICK = variant(DEFAULT, tokens=(0, 4), evidence="none", steps=20, test_samples=100, validation_samples=32)
PAPER = Grid(
    models=("EleutherAI/pythia-70m-deduped", "EleutherAI/pythia-160m-deduped", "EleutherAI/pythia-410m-deduped"),
    tokens=(0, 1, 4, 16, 64),
    data=("mazes",),
    task=PathfindingTask(board="8x8", hits_are_extra=True),
    settings=RunConfig(
        PathfindingTask(),
        "EleutherAI/pythia-70m-deduped",
        0,
        steps=2048,
        batch_size=256,
        schedule="constant",
        warmup_steps=0,
        init="paper",
    ),
    preset="paper",
)

PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
METRICS = ("moves_per_walk/asked_6_minus_0",)
EXPERIMENT = Experiment("pathfinding", __doc__ or "", PRESETS, metrics=METRICS)
