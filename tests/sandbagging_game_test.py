"""Which of twelve adapters hold a skill back, told from those that do not, by an auditor who is told nothing?"""

import sys

from soft_prompts.calibration.game.experiment import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
