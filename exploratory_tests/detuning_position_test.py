"""Does a prompt bring a chat model back to raw text from a random place as well as from the front?

Source: the original code of arXiv 2505.14943, random insertion. At a random place only what follows the prompt is
scored, so the two bare models are scored on different tokens: compare each gain with its own bare model.
"""

import sys

from exploratory_tests.grids import TEXT, TEXT_PAPER, presets
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import variant
from soft_prompts.tasks.texts.chat_detuning import ChatDetuningTask

DEFAULT = variant(TEXT, models=("tiny-chat", "tiny-text"), data=("library",), task=ChatDetuningTask())
PAPER = variant(TEXT_PAPER, models=("TinyLlama/TinyLlama-1.1B-Chat-v1.0",), task=ChatDetuningTask())
PRESETS = presets(DEFAULT, PAPER)
CASES = {
    "front": {"task": ChatDetuningTask()},
    "random": {"task": ChatDetuningTask(position="random")},
}
EXPERIMENT = Experiment("detuning_position", __doc__ or "", PRESETS, CASES)

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
