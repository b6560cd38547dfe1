"""python -m tests.steering_test: the experiment that `soft-prompts run steering` starts too."""

import sys

from soft_prompts.experiments.steering.experiment import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
