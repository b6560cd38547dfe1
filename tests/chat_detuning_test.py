"""How many prompt tokens bring a chat model back to raw text, as its base model reads it?"""

import sys

from soft_prompts.experiments.catalogue.chat_detuning import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
