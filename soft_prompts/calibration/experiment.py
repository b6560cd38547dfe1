"""Does the measure read a distance that was planted? Over thirty tiny models of which is known what they can do.

Selectors, partial locks, passwords, trained-away and absent skills, a sink: made by recipe and kept below snapshots/,
prompts trained by ordinary runs, distances read as everywhere. A last table holds what must be shown, what was found,
and whether that is met; it and all readings go to calibration.json. Self-planted secrets on an embedded model are part
of it: `soft-prompts calibrate MODEL` does the same on any model.

Source: the project's own; with random tables no prompt can hold what its model does not know of held-out entries.
"""

from soft_prompts.calibration.suite import SuiteOptions
from soft_prompts.calibration.table import CalibrationSuite

DEFAULT = SuiteOptions()
QUICK = SuiteOptions(
    organisms=("selector-2", "password-1", "random-0", "sink-0"),
    varied=(),
    certified=(),
    tokens=(1, 4),
    seeds=(0,),
    steps=60,
)
PRESETS = {"default": DEFAULT, "quick": QUICK}
EXPERIMENT = CalibrationSuite("calibration", __doc__ or "", PRESETS)
