"""How many prompt tokens make a language model play chess, and play at the strength it is told?"""

import sys

from soft_prompts.experiments.catalogue.chess import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
