"""How much of what a chess prompt gains is in the Elos, and how much would any prompt give?

Source: arXiv 2505.14943, chess, which trained a prompt without conditions beside the conditional one. `shuffled`
deals the Elos to the wrong games: the same architecture, with nothing in its input. More of the same is
condition_sensitivity and condition_information in every chess result.
"""

import sys

from exploratory_tests.grids import CHESS, CHESS_PAPER, presets
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import variant
from soft_prompts.tasks.chess import ChessTask

DEFAULT = variant(CHESS, models=("tiny-chess",), task=ChessTask(max_plies=30), steps=60, test_samples=400)
PRESETS = presets(DEFAULT, CHESS_PAPER)
CASES = {condition: {"condition": condition} for condition in ("true", "none", "shuffled")}
EXPERIMENT = Experiment("chess_conditions", __doc__ or "", PRESETS, CASES)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
