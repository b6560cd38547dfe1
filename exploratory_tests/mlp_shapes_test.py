"""Does an mlp prompt for chess learn more with hidden layers, or with wider ones?

Source: arXiv 2505.14943, conditional soft prompts, which took no hidden layer and a width of 128.
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
    f"{layers} layers of {width}": {"prompt": "mlp", "hidden_layers": layers, "hidden_width": width}
    for layers in (0, 1, 2)
    for width in (32, 128, 512)
}
PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
EXPERIMENT = Experiment("mlp_shapes", __doc__ or "", PRESETS, CASES, folder="exploratory_tests")

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
