"""Can prompt tokens make a language model look past the next token, and how far?"""

import sys

from soft_prompts.experiments.catalogue.skip_tokens import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
