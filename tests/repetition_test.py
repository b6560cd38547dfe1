"""How many prompt tokens make a language model say one string again and again, whatever the text says?"""

import sys

from soft_prompts.experiments.catalogue.repetition import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
