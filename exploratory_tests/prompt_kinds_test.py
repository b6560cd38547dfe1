"""Which way to make a prompt from two Elos learns chess best in few steps?

Source: arXiv 2505.14943, conditional soft prompts, which settled on an mlp without hidden layers. The linear prompt
with a constant input is a direct prompt with another optimum for Adam: what it lacks against the linear one is what
the Elos give.
"""

import sys

from exploratory_tests.grids import CHESS, CHESS_PAPER, presets
from soft_prompts.experiments.experiment import Experiment

PRESETS = presets(CHESS, CHESS_PAPER)
CASES = {
    "linear": {"prompt": "linear"},
    "linear, constant input": {"prompt": "linear", "condition": "constant"},
    "mlp": {"prompt": "mlp"},
    "resnet": {"prompt": "resnet", "hidden_layers": 2},
    "shared resnet": {"prompt": "shared_resnet", "hidden_layers": 2},
    "direct": {"prompt": "direct", "condition": "none"},
}
EXPERIMENT = Experiment("prompt_kinds", __doc__ or "", PRESETS, CASES)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
