"""How deep and how wide should a residual prompt for chess be, one network a token or one for all of them?

Source: arXiv 2505.14943, conditional soft prompts, resnet and shared resnet: the shared one has few parameters
however many tokens there are.
"""

import sys

from exploratory_tests.grids import CHESS, CHESS_PAPER, presets
from soft_prompts.experiments.experiment import Experiment

PRESETS = presets(CHESS, CHESS_PAPER, quick_steps=5)
CASES = {
    f"{kind}, {layers} layers of {width} on {residual}": {
        "prompt": kind,
        "hidden_layers": layers,
        "hidden_width": width,
        "residual_width": residual,
    }
    for kind in ("resnet", "shared_resnet")
    for layers, width, residual in ((1, 128, 64), (4, 128, 64), (1, 512, 64), (1, 128, 256))
}
EXPERIMENT = Experiment("resnet_shapes", __doc__ or "", PRESETS, CASES)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
