"""Does the comparison of behaviour find changes that are known, and none where there is none?"""

import sys

from soft_prompts.calibration.planted.experiment import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
