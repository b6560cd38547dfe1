"""How many soft tokens is a vector worth? `soft-prompts steer tokens`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from soft_prompts.commands.steer.options import SteeringOptions
from soft_prompts.common.errors import UsageError


@dataclass(frozen=True)
class SteerTokensOptions(SteeringOptions):
    """Soft prompts of several sizes and a vector on the same items: a number of tokens, or why there is none."""

    vectors: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="VECTOR")]
    """Files of `steer fit`."""
    tokens: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Sizes of the soft prompts."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the prompts."""
    steps: tuple[int, ...] = (60, 120)
    """Budgets: training steps of a prompt."""
    rates: tuple[float, ...] = (0.01, 0.03, 0.1)
    """Learning rates of which dev chooses one for each size and budget."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.vectors:
            raise UsageError("no vector is given; make one with `soft-prompts steer fit`")
        for name in ("tokens", "seeds", "steps", "rates"):
            given = getattr(self, name)
            if not given or (name != "seeds" and min(given) <= 0):
                raise UsageError(f"{name} is {', '.join(map(str, given)) or 'empty'}; give numbers above 0")
        if list(self.tokens) != sorted(set(self.tokens)):
            raise UsageError(f"tokens is {', '.join(map(str, self.tokens))}; give each once, rising")


def steer_tokens_command(options: SteerTokensOptions) -> int:
    """Write and print what each vector is worth."""
    choices = options.choices()
    from soft_prompts.steering.fitting import chosen
    from soft_prompts.steering.tokens import Budget, Worths, worth_in_tokens
    from soft_prompts.steering.vectors.files import read_vector
    from soft_prompts.steering.vectors.vector import refuse_other

    vectors = [read_vector(path) for path in options.vectors]
    inside = options.inside()
    budget = Budget(options.tokens, options.seeds, options.steps, options.rates)
    found = []
    for vector in vectors:
        refuse_other(vector, inside.frozen)
        steer = chosen(inside, vector, choices).vector.steer(inside)
        found.append(worth_in_tokens(inside, choices, vector.name, steer, budget))
    worths = Worths(tuple(found))
    n = len(choices.part("test").items)
    return options.show(options.found("tokens", inside, n, worths.figures(), worths.says()), "tokens")
