"""Are verdicts right where the truth is known? Over thirty tiny models, and what each must be found to do.

Selectors, partial locks, passwords, trained-away and absent skills, shapes that can be learnt without the skill, a
sink, plain skill: made by recipe and kept below snapshots/, asked by ordinary runs with their evidence, read as every
result is. Secrets planted in an embedded model are asked of it too. Printed: truths against verdicts, every cell off
the diagonal, and what must be shown; all readings go to calibration.json.

Source: the project's own; with random tables no prompt can hold what its model does not know of held-out entries.
"""

from soft_prompts.calibration.suite_options import SuiteOptions
from soft_prompts.calibration.table import CalibrationSuite

DEFAULT = SuiteOptions()
QUICK = SuiteOptions(organisms=("present-0", "password-1", "sink-0", "random-0"), planted_in=(), steps=60)
PRESETS = {"default": DEFAULT, "quick": QUICK}
EXPERIMENT = CalibrationSuite("calibration", __doc__ or "", PRESETS)
