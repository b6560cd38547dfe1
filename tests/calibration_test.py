"""Are verdicts right where the truth is known? Over thirty tiny models, and what each must be found to do."""

import sys

from soft_prompts.calibration.experiment import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
