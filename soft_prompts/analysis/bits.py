"""How many bits does a prompt take? The rounded prompts of one curve, and what each took from its training data."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from soft_prompts.analysis.losses.drafts import Draft, Run
from soft_prompts.analysis.prompts import belongs, chosen_of, loss_of
from soft_prompts.results.roles import CODE, RUN
from soft_prompts.stats.bits import break_even_units, excess_description_bits

KEPT = 0.02  # of the share that rounding may lose
GOES_ON = "no EDL of a prompt that goes on from a trained one: what that one took from its data is not counted"
NO_MORE = "no EDL where the first pass paid no more than the test loss beyond two of its standard errors"


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
    run: Run


@dataclass(frozen=True)
class Bits:
    """What a curve's prompts cost in bits."""

    codes: tuple[Code, ...]
    prompt: Code | None
    """The fewest bits that keep the share of the prompt that a verdict rests on, to .02."""
    break_even_units: float | None
    """N* of that prompt: units of text from which on it pays for itself."""


def read_codes(
    runs: Iterable[Run], draft: Draft, prompts: Mapping[int, list[Run]], gap: float | None, tokens: int | None
) -> Bits | None:
    """None where no prompt of the curve was rounded; `gap` is that of its loss scale, else what was gained.

    `tokens` is the count that a verdict rests on.
    """
    codes = _codes([run for run in runs if run.result.role.startswith(CODE) and belongs(run, draft)], draft, prompts)
    if not codes:
        return None
    bare = loss_of(prompts[0][0], draft) if 0 in prompts else None
    allowed = 0.0 if gap is None else KEPT * gap
    own = [code for code in codes if code.tokens == tokens and code.lost < allowed]
    prompt = min(own, key=lambda code: code.bits, default=None)
    pays = None if prompt is None or bare is None else break_even_units(prompt.bits, bare - prompt.loss)
    return Bits(codes, prompt, pays)


def goes_on(run: Run) -> bool:
    """Did the prompt begin as a trained one, or as one of half the tokens? Then it holds bits that another run took."""
    config = run.result.config
    begins_as = config.get("snapshot") if run.result.role == RUN.name else None  # what stands beside a run never does
    return run.tokens > 0 and (begins_as is not None or config.get("init") == "grown")


def edl_bits(run: Run, metric: str, unit: str) -> float | None:
    """EDL: what the first pass over the training samples paid beyond N times the test loss, in bits (2601.04728); None
    by a metric whose units the first pass did not count, and where `why_no_edl` says why."""
    return None if why_no_edl(run, metric, unit) else _excess_bits(run, metric, unit)


def why_no_edl(run: Run, metric: str, unit: str) -> str | None:
    """What makes the difference no measure of what was taken: the prompt held something before, or it is lost in how
    far training data and test items differ, by chance or by kind. None where there is an EDL or nothing to tell."""
    if goes_on(run):
        return GOES_ON
    least = _excess_bits(run, metric, unit, beyond=2.0)
    return NO_MORE if least is not None and least < 0 else None


def most_bits_taken(run: Run, metric: str, unit: str) -> float | None:
    """What a prompt took at most, two standard errors of the test loss above its EDL; None where that is not known, for
    it goes on from another or the training data are easier than the test's beyond chance."""
    most = None if goes_on(run) else _excess_bits(run, metric, unit, beyond=-2.0)
    return None if most is None or most < 0 else most


def _excess_bits(run: Run, metric: str, unit: str, beyond: float = 0.0) -> float | None:
    """Over the test loss and so many of its standard errors more."""
    found, counted = run.result.metrics.get(metric), "first_pass_tokens" if unit == "nats/token" else "first_pass_units"
    if metric != run.result.headline and unit != "nats/token":
        return None
    nats, units = (run.result.metrics.get(name) for name in ("first_pass_nats", counted))
    test_loss = None if found is None or found.value is None else found.value + beyond * (found.stderr or 0.0)
    if test_loss is None or nats is None or units is None or nats.value is None or units.value is None:
        return None
    return excess_description_bits(nats.value, units.value, test_loss)


def training_bits(run: Run, no_skill: float) -> float | None:
    """What the labels of the distinct training samples hold, by the best predictor without the skill."""
    units = run.result.metrics.get("first_pass_units")
    return None if units is None or units.value is None else units.value * no_skill / math.log(2)


def _codes(runs: Sequence[Run], draft: Draft, prompts: Mapping[int, list[Run]]) -> tuple[Code, ...]:
    """Those made of the chosen prompt of each token count."""
    found: dict[tuple[int, int], Code] = {}
    for run in runs:
        size, loss = run.result.metrics.get("prompt_bits"), loss_of(run, draft)
        plain = chosen_of(prompts[run.tokens]) if run.tokens in prompts else None
        before = None if plain is None else loss_of(plain, draft)
        if plain is None or loss is None or before is None or size is None or not size.value:
            continue
        if _is_made_from(run, plain):
            q = int(run.result.role.removeprefix(CODE))
            found[run.tokens, q] = Code(run.tokens, run.seed, q, size.value, loss, loss - before, run)
    return tuple(found[key] for key in sorted(found))


def _is_made_from(run: Run, plain: Run) -> bool:
    source = str(run.result.config.get("made_from", ""))
    return not source or source.rsplit("/", 1)[-1] == plain.path.stem
