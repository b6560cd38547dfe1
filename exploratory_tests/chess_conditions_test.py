"""How much of what a chess prompt gains is in the Elos, and how much would any prompt give?

Source: arXiv 2505.14943, chess, which trained a prompt without conditions beside the conditional one. `shuffled`
deals the Elos to the wrong games: the same architecture, with nothing in its input. More of the same is
condition_sensitivity and condition_information in every chess result.
"""

import sys

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.chess import ChessTask

DEFAULT = Grid(
    models=("tiny-chess",),
    tokens=(0, 4),
    data=("games",),
    task=ChessTask(max_plies=30),
    settings=RunConfig(
        ChessTask(),
        "tiny-chess",
        0,
        steps=60,
        learning_rate=1e-2,
        weight_decay=0.0,
        test_samples=400,
        validation_samples=32,
    ),
)
QUICK = variant(DEFAULT, tokens=(0, 1), steps=10, test_samples=50)
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
CASES = {condition: {"condition": condition} for condition in ("true", "none", "shuffled")}
PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
EXPERIMENT = Experiment("chess_conditions", __doc__ or "", PRESETS, CASES, folder="exploratory_tests")

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
