"""Does a prompt help a language model with ordinary text, of its own kind and of another?"""

import sys

from soft_prompts.experiments.catalogue.autoregressive import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
