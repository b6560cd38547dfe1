"""How many soft tokens is a vector worth? `soft-prompts steer tokens`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from soft_prompts.commands.steer.options import OfVectors
from soft_prompts.common.errors import UsageError


@dataclass(frozen=True)
class SteerTokensOptions(OfVectors):
    """Soft prompts of several sizes and a vector on the same items: a number of tokens, or why there is none."""

    vectors: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="VECTOR")]
    """Files of `steer fit`."""
    tokens: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Sizes of the soft prompts, 1 among them."""
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
        for name, least in (("tokens", "above 0"), ("seeds", "from 0 on"), ("steps", "above 0"), ("rates", "above 0")):
            given = getattr(self, name)
            if not given or not all((one >= 0 if name == "seeds" else one > 0) and one < float("inf") for one in given):
                raise UsageError(f"{name} is {', '.join(map(str, given)) or 'empty'}; give numbers {least}")
            if name != "tokens" and len(set(given)) < len(given):  # one seed twice would pass for two
                raise UsageError(f"{name} is {', '.join(map(str, given))}; give each once")
        if list(self.tokens) != sorted(set(self.tokens)):
            raise UsageError(f"tokens is {', '.join(map(str, self.tokens))}; give each once, rising")


def steer_tokens_command(options: SteerTokensOptions) -> int:
    """Write and print what each vector is worth."""
    from soft_prompts.steering.tokens import Budget, Worths, worth_in_tokens

    budget = Budget(options.tokens, options.seeds, options.steps, options.rates)
    choices = options.choices()
    from soft_prompts.steering.fitting import chosen
    from soft_prompts.steering.scoring import refuse_no_room
    from soft_prompts.steering.vectors.vector import refuse_other, refuse_seen, refuse_twice

    inside, vectors = options.read(options.vectors)
    refuse_twice(vectors)
    test = choices.part("test")
    for vector in vectors:
        refuse_other(vector, inside.frozen)
        refuse_seen(vector, [item.prompt for item in test.items], choices.where)
    refuse_no_room(inside.frozen, choices, max(options.tokens))
    found = []
    for vector in vectors:
        steer = chosen(inside, vector, choices).vector.steer(inside)
        found.append(worth_in_tokens(inside, choices, vector.name, steer, budget))
    worths = Worths(tuple(found))
    return options.show(options.found("tokens", inside, len(test.items), worths.figures(), worths.says()), "tokens")
