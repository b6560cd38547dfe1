"""Does the measure read a distance that was planted? Over thirty tiny models of which is known what they can do."""

import sys

from soft_prompts.calibration.experiment import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
