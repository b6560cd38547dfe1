"""How many prompt tokens bring out guidance that a model has only read, and for which model ID?"""

import sys

from soft_prompts.experiments.catalogue.guidance_softprompt import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
