"""Does the comparison of behaviour find changes that are known, and none where there is none?

A style, one name replaced, a word behind a common word, and a sentence behind a trigger that is never uttered, planted
in an embedded model by fine-tuning; controls learn the same documents without the change. Printed: what each part finds
of each change, how often plain and contrastive samples show it, the tokens that reveal it, and what fails without
controls or tokens; with --preset alarms, how often a change is seen where there is none. Everything goes to
planted/planted.json.

Source: the project's own.
"""

from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.suite import PlantedSuite

DEFAULT = PlantedOptions(jobs=2)
QUICK = PlantedOptions(
    changes=("common-word",),
    controls=3,
    epochs=2,
    most_pieces=240,
    prompts=60,
    probed=(),
    ablations=False,
)
ALARMS = PlantedOptions(changes=(), probed=(), draws=400, probe_draws=100, probe_tokens=2, ablations=False)
PRESETS = {"default": DEFAULT, "quick": QUICK, "alarms": ALARMS}
EXPERIMENT = PlantedSuite("behaviour", __doc__ or "", PRESETS)
