"""How much of the embedded texts that test and validate stands word by word in those that train?

A run of 16 tokens that stands in both was not written twice by chance. What two documents share, or two modules of the
library, crosses any split.

    python -m tests.benchmarks.held_apart

Text on stdout, nothing is written.
"""

import itertools
from collections.abc import Iterable

from soft_prompts.data.split import HELD_OUT
from soft_prompts.models.frozen import load_tokenizer
from soft_prompts.tasks.task import DataRequest, Example
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask

RUN = 16  # tokens
TRAINING = 4000  # windows, more than the embedded texts have
TEXTS = ("library", "games", "mazes")


def runs_of(examples: Iterable[Example]) -> list[tuple[int, ...]]:
    ids = [list(example.input_ids) for example in examples]
    return [tuple(some[start : start + RUN]) for some in ids for start in range(len(some) - RUN + 1)]


def main() -> None:
    tokenizer = load_tokenizer("tiny-text")
    print(f"share of runs of {RUN} tokens that stand in a training document too")
    for name in TEXTS:
        data = AutoregressiveTask().open(DataRequest(name, None, 64, 1000, 1000), tokenizer)
        trained = set(runs_of(example for example, _ in itertools.islice(data.training(None), TRAINING)))
        shares = []
        for split in HELD_OUT:
            found = runs_of(data.held_out(split))
            shares.append(f"{split} {sum(run in trained for run in found) / len(found):.3f}")
        print(f"{name:10}{', '.join(shares)}")


if __name__ == "__main__":
    main()
