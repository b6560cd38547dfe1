"""Does a prompt help later tokens more when a token's loss counts once for every token far enough in front of it?

Source: the original code of arXiv 2505.14943, favour-future loss. Only training is weighted: test losses are the
ordinary ones.
"""

import sys

from exploratory_tests.grids import TEXT, TEXT_PAPER, presets
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask

PRESETS = presets(TEXT, TEXT_PAPER)
CASES = {
    "every loss alike": {"task": AutoregressiveTask()},
    "favouring 4 tokens on": {"task": AutoregressiveTask(favour_future=4)},
    "favouring 32 tokens on": {"task": AutoregressiveTask(favour_future=32)},
}
EXPERIMENT = Experiment("favour_future", __doc__ or "", PRESETS, CASES)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
