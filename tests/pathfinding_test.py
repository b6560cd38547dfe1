"""How many prompt tokens make a language model find its way across a board, and as well as it is told to?"""

import sys

from soft_prompts.experiments.catalogue.pathfinding import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
