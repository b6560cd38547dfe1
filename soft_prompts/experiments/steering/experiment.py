"""What can a vector in the residual stream do that a prompt does, and what causes it?

On an embedded model that learns functions of made-up lands in context: vectors by four methods beside all controls;
function vectors from demonstrations, from the function's name and from scenes with options, and how alike they are; a
behaviour that no vector can make; which components cause an answer, by subtraction, gradient and patching, with
the patches needed; steering by prompts beside the difference between a fine-tuned model and its base; concepts, and
whether changing one moves another; how many soft tokens a vector is worth. All figures go to steering/*.steering.json.

Source: the project's own; arXiv 2310.15213 (function vectors), 2312.06681 (contrastive activation addition).
"""

from soft_prompts.experiments.steering.options import SteeringExperimentOptions
from soft_prompts.experiments.steering.play import SteeringExperiment

DEFAULT = SteeringExperimentOptions()
QUICK = SteeringExperimentOptions(
    functions=("capital", "king"),
    methods=("mean",),
    pairs=8,
    patches=12,
    tokens=(1, 2),
    seeds=(0,),
    steps=(20, 40),
    parts=("functions", "dealt", "causes", "concepts"),
)
PRESETS = {"default": DEFAULT, "quick": QUICK}
EXPERIMENT = SteeringExperiment("steering", __doc__ or "", PRESETS)
"""`soft-prompts run steering`."""
