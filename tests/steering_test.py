"""What can a vector in the residual stream do that a prompt does, and what causes it?"""

import sys

from soft_prompts.experiments.steering.experiment import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
