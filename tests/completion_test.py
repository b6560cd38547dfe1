"""How many prompt tokens bring out the completions that a file asks for?"""

import sys

from soft_prompts.experiments.catalogue.completion import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
