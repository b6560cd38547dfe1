"""Does a prompt bring a chat model back to raw text from a random place as well as from the front?

Source: the original code of arXiv 2505.14943, random insertion. At a random place only what follows the prompt is
scored, so the two bare models are scored on different tokens: compare each gain with its own bare model.
"""

import sys

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.chat_detuning import ChatDetuningTask

DEFAULT = Grid(
    models=("tiny-chat", "tiny-text"),
    tokens=(0, 4),
    data=("library",),
    task=ChatDetuningTask(),
    settings=RunConfig(
        ChatDetuningTask(),
        "tiny-text",
        0,
        prompt="direct",
        steps=40,
        learning_rate=1e-2,
        weight_decay=0.0,
        test_samples=100,
        sample_tokens=64,
        validation_samples=32,
    ),
)
QUICK = variant(DEFAULT, tokens=(0, 1), steps=10, test_samples=50)
PAPER = Grid(
    models=("TinyLlama/TinyLlama-1.1B-Chat-v1.0",),
    tokens=(0, 1, 4, 16, 64),
    data=("togethercomputer/RedPajama-Data-V2",),
    task=ChatDetuningTask(),
    settings=RunConfig(
        ChatDetuningTask(),
        "EleutherAI/pythia-70m-deduped",
        0,
        prompt="direct",
        steps=2048,
        schedule="constant",
        warmup_steps=0,
    ),
    preset="paper",
)
CASES = {
    "front": {"task": ChatDetuningTask()},
    "random": {"task": ChatDetuningTask(position="random")},
}
PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
EXPERIMENT = Experiment("detuning_position", __doc__ or "", PRESETS, CASES, folder="exploratory_tests")

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
