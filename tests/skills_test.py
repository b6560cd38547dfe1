"""Which skills has a real model, which hide behind not being asked for, and which are not there?"""

import sys

from soft_prompts.experiments.catalogue.skills import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
