"""Does an mlp prompt for chess learn more with hidden layers, or with wider ones?

Source: arXiv 2505.14943, conditional soft prompts, which took no hidden layer and a width of 128.
"""

import sys

from exploratory_tests.grids import CHESS, CHESS_PAPER, presets
from soft_prompts.experiments.experiment import Experiment

PRESETS = presets(CHESS, CHESS_PAPER, quick_steps=5)
CASES = {
    f"{layers} layers of {width}": {"prompt": "mlp", "hidden_layers": layers, "hidden_width": width}
    for layers in (0, 1, 2)
    for width in (32, 128, 512)
}
EXPERIMENT = Experiment("mlp_shapes", __doc__ or "", PRESETS, CASES)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
