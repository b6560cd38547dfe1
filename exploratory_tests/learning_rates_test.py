"""Which learning rate learns most in few steps, and does weight decay on a soft prompt do anything?

Source: arXiv 2505.14943, chess, which trained with a learning rate of 1e-3 and a weight decay of 1e-4.
"""

import sys

from exploratory_tests.grids import CHESS, CHESS_PAPER, presets
from soft_prompts.experiments.experiment import Experiment

PRESETS = presets(CHESS, CHESS_PAPER, quick_steps=5)
CASES = {
    f"rate {rate:g}, decay {decay:g}": {"learning_rate": rate, "weight_decay": decay}
    for rate in (1e-3, 1e-2, 1e-1)
    for decay in (0.0, 1e-4, 1e-1)
}
EXPERIMENT = Experiment("learning_rates", __doc__ or "", PRESETS, CASES)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
