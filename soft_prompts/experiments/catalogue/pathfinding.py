"""How many prompt tokens make a language model find its way across a board, and as well as it is told to?

The prompt is conditioned on the quality of the path: extra moves and moves into walls. The loss is that of walks on
held-out boards; the model's own walks are followed too, asked for 0, 2 and 6 extra moves. With no flags: tiny-mazes,
which has seen boards and walks but never a quality, beside tiny-text, which has never seen a board.

Source: arXiv 2505.14943, pathfinding. It found that most of the loss goes with the first token, that 4 and 16 tokens
go on from there, and that size helps a little. (Its losses at 64 tokens score the board too: they are not comparable.)
"""

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.mazes.pathfinding import PathfindingTask

DEFAULT = Grid(
    models=("tiny-mazes", "tiny-text"),
    tokens=(0, 1, 4, 16),
    data=("mazes",),
    task=PathfindingTask(board="6x6"),
    settings=RunConfig(PathfindingTask(), "tiny-mazes", 0, steps=200, learning_rate=1e-2, weight_decay=0.0),
    jobs=2,
)
QUICK = variant(DEFAULT, tokens=(0, 4), steps=20, test_samples=100, validation_samples=32)
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
METRICS = (
    "solved_share",
    *(f"moves_per_walk/asked_{extra}" for extra in ("0", "2", "6", "6_minus_0", "6_minus_0/solved")),
)
EXPERIMENT = Experiment("pathfinding", __doc__ or "", PRESETS, metrics=METRICS)
