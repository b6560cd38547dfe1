"""Does the loss of chess go on falling up to thousands of prompt tokens, or does a longer prompt stop helping?

Source: arXiv 2505.14943, chess, which found that loss keeps falling into hundreds of tokens. Embedded models have a
context of 1,024: 928 prompt tokens and 8 plies fit. Every count has the same few steps: longer prompts may want more.
"""

import sys

from exploratory_tests.grids import CHESS, CHESS_PAPER
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import variant

DEFAULT = variant(
    CHESS,
    tokens=(0, 4, 16, 64, 256, 512, 928),
    steps=30,
    batch_size=8,
    test_samples=80,
    sample_tokens=64,
    validation_samples=9,
)
QUICK = variant(DEFAULT, tokens=(0, 16, 256), steps=5, test_samples=20)
PAPER = variant(CHESS_PAPER, tokens=(0, 1, 4, 16, 64, 256, 512, 1024, 1536, 2048))
PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
EXPERIMENT = Experiment("token_scaling", __doc__ or "", PRESETS)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
