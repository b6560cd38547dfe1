"""Which learning rate learns most in few steps, and does weight decay on a soft prompt do anything?

Source: arXiv 2505.14943, chess, which trained with a learning rate of 1e-3 and a weight decay of 1e-4.
"""

import sys

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.chess import ChessTask

DEFAULT = Grid(
    models=("tiny-text",),
    tokens=(0, 4),
    data=("games",),
    task=ChessTask(max_plies=8),
    settings=RunConfig(
        ChessTask(),
        "tiny-text",
        0,
        steps=40,
        learning_rate=1e-2,
        weight_decay=0.0,
        test_samples=200,
        validation_samples=32,
    ),
)
QUICK = variant(DEFAULT, tokens=(0, 1), steps=5, test_samples=50)
PAPER = Grid(
    models=("EleutherAI/pythia-70m-deduped",),
    tokens=(0, 16),
    data=("lichess_db_standard_rated_2023-11.pgn.zst",),
    task=ChessTask(max_plies=None),
    settings=RunConfig(
        ChessTask(),
        "EleutherAI/pythia-70m-deduped",
        0,
        steps=4096,
        schedule="constant",
        warmup_steps=0,
        test_data="lichess_db_standard_rated_2023-12.pgn.zst",
    ),
    preset="paper",
)
CASES = {
    f"rate {rate:g}, decay {decay:g}": {"learning_rate": rate, "weight_decay": decay}
    for rate in (1e-3, 1e-2, 1e-1)
    for decay in (0.0, 1e-4, 1e-1)
}
PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
EXPERIMENT = Experiment("learning_rates", __doc__ or "", PRESETS, CASES, folder="exploratory_tests")

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
