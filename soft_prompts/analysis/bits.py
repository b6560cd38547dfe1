"""How many bits does a capability take? The rounded prompts of one curve: their sizes, losses and shares."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from soft_prompts.analysis.anchors import validation_loss
from soft_prompts.analysis.distances import belongs, loss_of
from soft_prompts.analysis.drafts import Draft, Run
from soft_prompts.results.roles import CODE
from soft_prompts.stats.admissibility import OVERFIT
from soft_prompts.stats.bits import Coded, bits_at, break_even_units, description_length
from soft_prompts.stats.distance import Distance

UNITS = (1_000, 10_000, 100_000, 1_000_000)  # N of the description lengths
DISTINCT_UNITS = "distinct_training_units"  # metric of a task that can count them


class Code(NamedTuple):
    """A trained prompt rounded to q bits a coordinate, and what it is still worth."""

    tokens: int
    seed: int
    bits_per_coordinate: int
    bits: float
    """B: its size."""
    loss: float
    """Nats per unit when rounded."""
    lost: float
    """By rounding, nats per unit."""
    share: float
    run: Run


class Length(NamedTuple):
    """MDL(N): the shortest way to send N units, prompt included; 0 tokens: without a prompt."""

    units: int
    bits: float
    tokens: int
    bits_per_coordinate: int | None


@dataclass(frozen=True)
class Bits:
    """What the curve costs in bits."""

    codes: tuple[Code, ...]
    """Of each token count the seed that validation chooses."""
    d_50: float | None
    """d_bits: the least B whose share reaches a half, 0 where the bare model has it; None where none reaches it."""
    d_90: float | None
    prompt: Code | None
    """Stands for the prompt that the distance rests on: the fewest bits that lose under 2 % of the gap."""
    break_even_units: float | None
    """N* of that prompt."""
    lengths: tuple[Length, ...]


def read_codes(runs: Iterable[Run], draft: Draft, distance: Distance) -> Bits | None:
    """None where no prompt of the curve was rounded."""
    codes = _codes([run for run in runs if run.result.role.startswith(CODE) and belongs(run, draft)], draft, distance)
    if not codes:
        return None
    zero = distance.anchors.zero
    bare = [] if zero is None else [Coded(0.0, distance.share(zero), zero)]
    coded = [*bare, *(Coded(code.bits, code.share, code.loss) for code in codes)]
    prompt = _standing(codes, distance)
    lengths = []
    for units in UNITS:
        length = description_length(coded, float(units))
        code = codes[length.chosen - len(bare)] if length.chosen >= len(bare) else None
        lengths.append(Length(units, length.bits, code.tokens if code else 0, code and code.bits_per_coordinate))
    return Bits(
        codes,
        bits_at(coded, distance.d_50.mark),
        bits_at(coded, distance.d_90.mark),
        prompt,
        None if prompt is None or zero is None else break_even_units(prompt.bits, zero - prompt.loss),
        tuple(lengths),
    )


def prompt_tokens(distance: Distance) -> int:
    """Tokens of the prompt that the distance rests on: the first to reach the upper mark, else the best there is."""
    reached = [point for point in distance.points if (point.share.value or -math.inf) >= distance.d_90.mark]
    best = (reached or list(distance.points[-1:]))[0].best
    return next(point.tokens for point in distance.points if point.best <= best)


def training_units(draft: Draft, tokens: int) -> int | None:
    """Scored units of the training samples behind the prompt of so many tokens.

    As the result counts them, else an upper bound: the labels seen up to the tested step, as often as the stream gave
    them, turned into units by the held-out items' own ratio. The bare model needs none.
    """
    if tokens == 0:
        return 0
    runs = [run for run in draft.runs if run.tokens == tokens and run.seed in draft.items.get(tokens, {})]
    if not runs:
        return None
    run = min(runs, key=validation_loss)
    counted = run.result.metrics.get(DISTINCT_UNITS)
    if counted is not None and counted.value is not None:
        return int(counted.value)
    items, training = draft.items[tokens][run.seed], run.result.training
    if not training.steps or not items.scored_tokens.sum():
        return None
    tested = training.steps if training.best_step is None else training.best_step
    seen = training.target_tokens * tested / training.steps
    return int(seen * items.scored_units.sum() / items.scored_tokens.sum())


def _codes(runs: list[Run], draft: Draft, distance: Distance) -> tuple[Code, ...]:
    """Of each token count those of one seed, chosen by the trained prompts' validation loss."""
    trained = {(run.tokens, run.seed): run for run in draft.runs}
    cells = {(run.tokens, run.seed) for run in runs} & set(trained)
    ranked = sorted(cells, key=lambda cell: (validation_loss(trained[cell]), cell), reverse=True)
    seeds = dict(ranked)  # of each token count the last, which is the best
    found: dict[tuple[int, int], Code] = {}
    for run in runs:
        size, loss = run.result.metrics.get("prompt_bits"), loss_of(run, draft)
        plain = trained.get((run.tokens, run.seed))
        before = None if plain is None else loss_of(plain, draft)
        if seeds.get(run.tokens) == run.seed and loss is not None and before is not None and size and size.value:
            q = int(run.result.role.removeprefix(CODE))
            share = distance.share(loss)
            found[run.tokens, q] = Code(run.tokens, run.seed, q, size.value, loss, loss - before, share, run)
    return tuple(found[key] for key in sorted(found))


def _standing(codes: tuple[Code, ...], distance: Distance) -> Code | None:
    tokens = prompt_tokens(distance)
    whole = [code for code in codes if code.tokens == tokens and code.lost < OVERFIT * distance.gap]
    return min(whole, key=lambda code: code.bits, default=None)
