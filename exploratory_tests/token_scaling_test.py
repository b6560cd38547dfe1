"""Does the loss of chess go on falling up to thousands of prompt tokens, or does a longer prompt stop helping?

Source: arXiv 2505.14943, chess, which found that loss keeps falling into hundreds of tokens. Embedded models have a
context of 1,024: 928 prompt tokens and 8 plies fit. Every count has the same few steps: longer prompts may want more.
"""

import sys

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.chess import ChessTask

DEFAULT = Grid(
    models=("tiny-text",),
    tokens=(0, 4, 16, 64, 256, 512, 928),
    data=("games",),
    task=ChessTask(max_plies=8),
    settings=RunConfig(
        ChessTask(),
        "tiny-text",
        0,
        steps=30,
        batch_size=8,
        learning_rate=1e-2,
        weight_decay=0.0,
        test_samples=80,
        sample_tokens=64,
        validation_samples=9,
    ),
)
QUICK = variant(DEFAULT, tokens=(0, 16, 256), steps=5, test_samples=20)
PAPER = Grid(
    models=("EleutherAI/pythia-70m-deduped",),
    tokens=(0, 1, 4, 16, 64, 256, 512, 1024, 1536, 2048),
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
PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
EXPERIMENT = Experiment("token_scaling", __doc__ or "", PRESETS, folder="exploratory_tests")

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
