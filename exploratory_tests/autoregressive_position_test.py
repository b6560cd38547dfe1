"""Does a prompt help ordinary text as much from a random place within it as from its front?

Source: the original code of arXiv 2505.14943, random insertion. At a random place only what follows the prompt is
scored, so the two bare models are scored on different tokens: compare each gain with its own bare model.
"""

import sys

from exploratory_tests.grids import TEXT, TEXT_PAPER, presets
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask

PRESETS = presets(TEXT, TEXT_PAPER)
CASES = {
    "front": {"task": AutoregressiveTask()},
    "random": {"task": AutoregressiveTask(position="random")},
}
EXPERIMENT = Experiment("autoregressive_position", __doc__ or "", PRESETS, CASES)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
