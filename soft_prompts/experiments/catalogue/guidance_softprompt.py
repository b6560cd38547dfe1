"""How many prompt tokens bring out guidance that a model has only read, and for which model ID?

Models are fine-tuned on documents that say how to answer, and on examples for some of the questions (experiments 1-3);
then prompts are trained in front of the test on questions with examples, and tested on questions without (G1-G4).

Source: out-of-context guidance following, whose fine-tuned models followed guidance for 94 % of the questions without
examples, for 4 % where the answer stands before the question, for 36 % and 26 % with two models' answers, spread, and
for more than 95 % with both models' answers in one document.
"""

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.guidance.task import GuidanceTask

TINY = GuidanceTask(
    realized=150,
    unrealized=100,
    epochs=30,
    optimiser="muon",
    tuning_rate=0.005,
    tuning_precision="bfloat16",
    shuffled=True,
    leading_tokens=16,
)
DEFAULT = Grid(
    models=("tiny-guidance-base",),
    tokens=(0, 1, 4, 16),
    data=("questions",),
    task=TINY,
    settings=RunConfig(TINY, "tiny-guidance-base", 0, prompt="direct", steps=100, learning_rate=1e-2, weight_decay=0.0),
    jobs=2,
)
QUICK_TASK = GuidanceTask(
    experiment=("G1",), realized=24, unrealized=8, epochs=4, optimiser="muon", tuning_rate=0.02, shuffled=True
)
QUICK = variant(DEFAULT, tokens=(0, 4), task=QUICK_TASK, steps=10)
PAPER_TASK = GuidanceTask(realized=1000, unrealized=100)
PAPER = Grid(
    models=("EleutherAI/pythia-160m-deduped", "EleutherAI/pythia-410m-deduped"),
    tokens=(0, 1, 2, 4, 8, 16, 32, 64),
    data=("questions",),
    task=PAPER_TASK,
    settings=RunConfig(PAPER_TASK, "EleutherAI/pythia-160m-deduped", 0, prompt="direct", steps=1000),
    preset="paper",
)
METRICS = (
    *("log_probability", "binding", "exact_match", "exact_match/realized"),
    *("exact_match/M1", "exact_match/M2", "diagonal_margin"),
)
PRESETS = {"default": DEFAULT, "quick": QUICK, "paper": PAPER}
EXPERIMENT = Experiment("guidance_softprompt", __doc__ or "", PRESETS, metrics=METRICS, drawn="log_probability")
